"""The event: every wrong key is refused with a message that names it."""

import dataclasses
import json
from typing import Any

import pytest

from sep_extract.event import Config, Request
from skyfan_function.errors import EventError, FunctionError

INPUT = "s3://stpubdata/hst/public/jbev/jbeveo010/jbeveo010_drz.fits"


def test_the_least_event_takes_the_defaults() -> None:
    request = Request.parse({"input": INPUT})
    assert (request.run, request.access, request.outputs) == ("default", "anonymous", ())
    assert request.config == Config()
    assert request.config.phot_apertures == (0.3, 0.5, 0.8, 1.5)


def test_everything_given_is_taken() -> None:
    config = {
        "detect_thresh": 3,
        "detect_minarea": 9,
        "filter": False,
        "back_size": 32,
        "back_filtersize": 5,
        "deblend_nthresh": 16,
        "deblend_mincont": 1,
        "deblend_seconds": 0.5,
        "clean": False,
        "clean_param": 2.0,
        "phot_autoparams": [2, 3],
        "phot_apertures": [1],
        "good_bits": 0,
        "faint_size": 7,
        "frames": "3:9",
        "stack": 2,
    }
    assert set(config) == {field.name for field in dataclasses.fields(Config)}, "a setting is not tried here"
    request = Request.parse(
        {
            "input": INPUT,
            "run": "a.b-c_9",
            "access": "requester-pays",
            "config": config,
            "outputs": ["preview"],
        }
    )
    assert request.run == "a.b-c_9"
    assert request.access == "requester-pays"
    assert request.outputs == ("preview",)
    taken = dataclasses.asdict(request.config)
    assert taken == {**config, "phot_autoparams": (2.0, 3.0), "phot_apertures": (1.0,)}
    assert all(type(taken[k]) is float for k in ("detect_thresh", "deblend_mincont", "clean_param"))


@pytest.mark.parametrize("event", [None, [], "s3://bucket/key", 5, [("input", INPUT)]])
def test_what_is_no_object_is_refused(event: Any) -> None:
    with pytest.raises(EventError, match="must be a JSON object"):
        Request.parse(event)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({}, "'input' is missing"),
        ({"inputs": INPUT}, "unknown key 'inputs'; did you mean 'input'"),
        ({"input": INPUT, "Config": {}}, "unknown key 'Config'; did you mean 'config'"),
        ({"input": INPUT, "colour": 1}, "unknown key 'colour'; known keys are input, run, access, config"),
        ({"input": INPUT, 7: 1}, "unknown key '7'"),
        ({"input": None}, "'input' must be s3://bucket/key or file:///absolute/path, not None"),
        ({"input": ["s3://b/k"]}, "'input' must be"),
        ({"input": "/data/x.fits"}, "s3://bucket/key"),
        ({"input": "https://example.org/x.fits"}, "s3://bucket/key"),
        ({"input": "s3://bucket"}, "s3://bucket/key"),
        ({"input": "s3://bucket/"}, "s3://bucket/key"),
        ({"input": "s3:///key"}, "s3://bucket/key"),
        ({"input": "file://x.fits"}, "s3://bucket/key"),
        ({"input": "file://host/x.fits"}, "s3://bucket/key"),
        ({"input": "S3://bucket/key"}, "s3://bucket/key"),
        ({"input": "s3://bucket/a/../../b"}, "has an empty, '.' or '..' part"),
        ({"input": "s3://bucket/folder/"}, "has an empty, '.' or '..' part"),
        ({"input": "s3://bucket//key"}, "has an empty, '.' or '..' part"),
        ({"input": "file:///data/./x"}, "has an empty, '.' or '..' part"),
        ({"input": "file:///data/%2E%2e/%2e%2e/etc/x"}, "has an empty, '.' or '..' part"),
        ({"input": "file:///data%2f..%2fx"}, "has an empty, '.' or '..' part"),
        ({"input": INPUT, "run": ""}, "'run' must be 1 to 64"),
        ({"input": INPUT, "run": "a" * 65}, "'run' must be 1 to 64"),
        ({"input": INPUT, "run": ".hidden"}, "'run' must be 1 to 64"),
        ({"input": INPUT, "run": "a/b"}, "'run' must be 1 to 64"),
        ({"input": INPUT, "run": "a b"}, "'run' must be 1 to 64"),
        ({"input": INPUT, "run": "nächtlich"}, "'run' must be 1 to 64"),
        ({"input": INPUT, "run": "night\n"}, "'run' must be 1 to 64"),
        ({"input": INPUT, "run": 1}, "'run' must be 1 to 64"),
        ({"input": INPUT, "access": "public"}, "'access' must be one of anonymous, signed, requester-pays"),
        ({"input": INPUT, "access": None}, "'access' must be one of"),
        ({"input": INPUT, "access": []}, "'access' must be one of"),
        ({"input": INPUT, "outputs": "preview"}, "'outputs' must be a list of parquet, preview"),
        ({"input": INPUT, "outputs": ["csv"]}, "'outputs' must be one of parquet, preview, segmentation"),
        ({"input": INPUT, "outputs": [["preview"]]}, "'outputs' must be one of"),
        ({"input": INPUT, "config": None}, "'config' must be an object"),
        ({"input": INPUT, "config": []}, "'config' must be an object"),
    ],
    ids=str,
)
def test_a_wrong_event_is_refused(event: Any, message: str) -> None:
    with pytest.raises(EventError) as caught:
        Request.parse(event)
    assert message in str(caught.value)


NUMBERS = ["1", None, True, [1], {}, float("nan"), float("inf"), -1, 0, 1e9]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("detect_thresh", v) for v in NUMBERS),
        *(("detect_minarea", v) for v in [*NUMBERS, 1.5]),
        *(("back_size", v) for v in [*NUMBERS, 1.5]),
        *(("back_filtersize", v) for v in [*NUMBERS, 1.5]),
        *(("deblend_nthresh", v) for v in [*NUMBERS, 1.5]),
        *(("deblend_mincont", v) for v in [*NUMBERS, 1.01] if v is not None),
        *(("deblend_seconds", v) for v in NUMBERS),
        *(("clean_param", v) for v in NUMBERS),
        *(("filter", v) for v in ["true", 1, 0, None]),
        *(("clean", v) for v in ["true", 1, 0, None]),
        *(("phot_autoparams", v) for v in [[2.5], [2.5, 3.5, 1], [2.5, 0], 2.5, "ab", None, [2.5, "3"]]),
        *(
            ("phot_apertures", v)
            for v in [[], [0], [-1], [True], [None], 1, "0.5", [0.1] * 17, [float("nan")]]
        ),
        *(("faint_size", v) for v in [0, 1, 8, 101, -7, 7.5, True, "7", [7], float("nan")]),
        *(("good_bits", v) for v in [-1, 1 << 32, 1.0, True, "0", [1], float("nan")]),
    ],
)
def test_a_setting_out_of_its_range_is_refused(key: str, value: Any) -> None:
    with pytest.raises(EventError) as caught:
        Request.parse({"input": INPUT, "config": {key: value}})
    assert str(caught.value).startswith(f"config: '{key}' must be ")
    assert repr(value) in str(caught.value)


def test_an_unknown_setting_is_refused_with_a_hint() -> None:
    with pytest.raises(
        EventError, match="config: unknown key 'detect_treshold'; did you mean 'detect_thresh'"
    ):
        Request.parse({"input": INPUT, "config": {"detect_treshold": 2}})
    with pytest.raises(EventError, match="config: unknown key 'zz'; known keys are detect_thresh, "):
        Request.parse({"input": INPUT, "config": {"zz": 2}})


def test_an_event_error_is_permanent() -> None:
    assert EventError.cure == "never"
    assert issubclass(EventError, FunctionError)


def test_whole_numbers_may_come_as_floats() -> None:
    """JSON of some languages writes 5 as 5.0."""
    config = Request.parse({"input": INPUT, "config": {"detect_minarea": 5.0, "back_size": 64.0}}).config
    assert (config.detect_minarea, config.back_size) == (5, 64)
    assert all(type(v) is int for v in (config.detect_minarea, config.back_size))
    assert config.digest() == Config().digest()


def test_the_digest_tells_configurations_apart_and_only_them() -> None:
    digests = {
        Request.parse({"input": INPUT, "config": c}).config.digest()
        for c in [{}, {"filter": False}, {"good_bits": 0}, {"detect_thresh": 1.6}, {"phot_apertures": [0.3]}]
    }
    assert len(digests) == 5
    same = [{"detect_thresh": 1.6, "clean": True}, {"clean": True, "detect_thresh": 1.6}]
    assert len({Request.parse({"input": INPUT, "config": c}).config.digest() for c in same}) == 1
    assert json.loads(Config().json())["deblend_mincont"] is None


def test_a_setting_that_came_later_changes_no_digest_where_it_is_off() -> None:
    off, on = (Request.parse({"input": INPUT, "config": {"faint_size": v}}).config for v in (None, 7.0))
    assert off.digest() == Config().digest() == "77bda02d51ce7670"
    assert "faint_size" not in json.loads(off.json())
    assert json.loads(on.json())["faint_size"] == 7


def test_outputs_are_a_set() -> None:
    assert Request.parse({"input": INPUT, "outputs": ["preview", "parquet", "preview"]}).outputs == (
        "parquet",
        "preview",
    )


@pytest.mark.parametrize("setting", dataclasses.fields(Config), ids=lambda setting: setting.name)
def test_the_bounds_of_a_setting_are_values_of_it(setting: "dataclasses.Field[Any]") -> None:
    bounds = setting.metadata["check"]
    if not isinstance(bounds, tuple):
        return
    count = len(setting.default) if isinstance(setting.default, tuple) else None
    for value, is_taken in zip(
        (*bounds, bounds[0] * 0.99, bounds[1] * 1.01 + 1), (True, True, False, False), strict=True
    ):
        config = {setting.name: [value] * count if count else value}
        if is_taken:
            assert getattr(Request.parse({"input": INPUT, "config": config}).config, setting.name)
            continue
        with pytest.raises(EventError):
            Request.parse({"input": INPUT, "config": config})
