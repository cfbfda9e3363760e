"""Every command at 80 and 200 columns, in a pipe, in ASCII, with --json, and with wrong input.

No traceback, no cut number, no table wider than the window, one JSON document and nothing beside it.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from standins import catalogs

from sep_extract.quality import Quality
from skyfan.api import collect
from skyfan.aws import stack
from skyfan.cli import main
from skyfan.errors import UsageError
from skyfan.local import lambda_format
from skyfan.runs import run as runs
from skyfan.storage import uris
from skyfan.storage.place import Place
from skyfan.task import Task
from skyfan_contract import mark_key

NAMES = ("J1001+5027_α_a_rather_long_name_of_an_image_drz.fits", "b_flt.fits", "c_flt.fits")
RESULTS = "s3://r/runs/{run}/catalogs/{key}.cat.fits"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    """A folder with three images and a run of them: one done, one doubtful, one failed."""
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "images").mkdir()
    for name in NAMES:
        shutil.copy(demo_data / "ib4606c6q_flc.fits", folder / "images" / name)
    files = [uris.from_path(folder / "images" / name) for name in NAMES]
    place = Place.at(folder / "out", make=True)
    runs.begin(place, Task("night"), RESULTS, marks=True)
    runs.add_plan(place, "night", runs.of_uris(files, folder / "night.parquet"))
    log = ""
    for number, uri in enumerate(files):
        rng = np.random.default_rng(number)
        ra, dec = rng.normal(10.6847083, 1e-4, 30), rng.normal(-41.26875, 1e-4, 30)
        quality = Quality.MASKED if number else Quality.NONE
        body = catalogs.catalog(uri, ra, dec, mag=rng.normal(22, 1, 30), quality=quality)
        if number < 2:
            catalogs.put(folder / "out/runs/night", uri, body)
        result = json.dumps({"run": "night", "input": uri, "sources": 30, "seconds": 1.5})
        report = lambda_format.Report(
            f"id-{number}",
            started=f"2026-11-22T19:23:2{number}.000Z",
            duration_ms=1234567.89,
            memory_mb=1769,
            used_mb=1234,
            init_ms=500,
            status="error" if number == 2 else "",
            error_type="ImageError" if number == 2 else "",
        )
        log += lambda_format.invocation(report, "" if number == 2 else result)
    place.put("runs/night/logs/a.log", log.encode())
    place.put(f"runs/night/doubtful/{mark_key('MASKED', uris.key(files[1]))}", b"")
    record = {
        "timestamp": "2026-11-22T19:23:23.000Z",
        "requestContext": {"requestId": "id-2", "functionArn": "f", "condition": "RetriesExhausted"},
        "requestPayload": {"input": files[2], "run": "night"},
        "responsePayload": {"errorType": "StorageError", "errorMessage": "the disk is “full”"},
    }
    place.put(f"runs/night/failures/{uris.key(files[2])}.json", json.dumps(record).encode())
    collect("night", folder / "out")
    return folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    for name in ("COLUMNS", "SKYFAN_STACK"):
        monkeypatch.delenv(name, raising=False)

    def find(name: str, **_: Any) -> Any:
        raise UsageError(f"the stack {name!r}: no AWS credentials")

    monkeypatch.setattr(stack, "find", find)
    return made


def skyfan(*words: str, width: int | None = None, charset: str = "utf-8") -> Result:
    env = {"COLUMNS": None if width is None else str(width)}
    return CliRunner(charset=charset, env=env).invoke(main, words, prog_name="skyfan")


AROUND = ["--around", "10.6847083", "-41.26875", "--radius", "1m"]
WORKING: dict[str, tuple[list[str], int]] = {
    "plan": (["plan", "images", "--to", "plan.parquet"], 0),
    "run": (["run", "images", "--dry-run"], 0),
    "status": (["status", "night", "-o", "out"], 1),
    "failed": (["status", "night", "-o", "out", "--failed"], 1),
    "doubtful": (["status", "night", "-o", "out", "--doubtful"], 1),
    "retry": (["retry", "night", "-o", "out", "--dry-run"], 0),
    "collect": (["collect", "night", "-o", "out"], 0),
    "match": (["match", "night", "-o", "out", "--to", "objects", "-j", "1"], 0),
    "search": (["search", "night", "-o", "out", *AROUND], 0),
    "columns": (["search", "night", "-o", "out", *AROUND, "--columns", "DISTANCE"], 0),
    "lists": (["search", "out/runs/night/collected", *AROUND, "--columns", "IMAGE,MAG_APER"], 0),
    "costs": (["costs", "night", "-o", "out", "--advise", "--what-if", "memory=2048"], 0),
    "report": (["report", "night", "-o", "out"], 0),
    "show": (["show", NAMES[0], "--run", "night", "-o", "out", "--to", "picture.png", "--no-sources"], 0),
    "runs": (["runs", "-o", "out"], 0),
}  # fmt: skip
_LONG = ("show", "report")
commands = pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(*case, id=name, marks=[pytest.mark.slow] * (name in _LONG))
        for name, case in WORKING.items()
    ],
)


def numbers(text: str) -> set[str]:
    return set(re.findall(r"(?<!\S)-?\d[\d,]*\.?\d*(?:e-?\d+)?(?![^\s,;:)])", text))


def check(done: Result, code: int) -> None:
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    assert "USD USD" not in done.output
    assert not re.search(
        r"(?<![\d,.])1 (?!Tuc)(?:files|images|requests|sources|starts|retries)\b", done.output
    )


@pytest.mark.slow
@commands
def test_no_number_is_cut_and_no_table_is_too_wide(here: Path, words: list[str], code: int) -> None:
    piped = skyfan(*words)
    check(piped, code)
    assert "…" not in piped.stdout.replace("… and", "")
    for width in (80, 200):
        done = skyfan(*words, width=width)
        check(done, code)
        assert numbers(done.stdout) <= numbers(piped.stdout)
        rules = [line for line in done.stdout.splitlines() if line.startswith("──")]
        assert all(len(line) <= width for line in rules)


@commands
def test_any_encoding_will_do(here: Path, words: list[str], code: int) -> None:
    for charset in ("ascii", "latin-1"):
        check(skyfan(*words, width=80, charset=charset), code)


@commands
def test_json_is_one_document_and_nothing_else(here: Path, words: list[str], code: int) -> None:
    done = skyfan(*words, "--json")
    check(done, code)
    json.loads(done.stdout)
    assert not any(line.startswith(("{", "[")) for line in done.stderr.splitlines())


def leaves(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield from leaves(command) if isinstance(command, click.Group) else [command]


def test_every_command_has_json_but_the_one_that_prints_a_script() -> None:
    lacking = [
        command.name
        for command in leaves(main)
        if "--json" not in [name for option in command.params for name in option.opts]
    ]
    assert lacking == ["completion"]
    assert "without --json" in " ".join(skyfan("completion", "--help").stdout.split())


@pytest.mark.parametrize("name", main.commands)
def test_help_is_whole_at_80_columns(name: str) -> None:
    for width in (80, 200):
        short, whole = skyfan("--help", width=width), skyfan(name, "--help", width=width)
        check(short, 0)
        check(whole, 0)
        assert "..." not in short.stdout.partition("Commands:")[2]
        assert all(len(line) <= width for line in whole.stdout.splitlines())


def test_help_is_in_the_order_of_the_story() -> None:
    listed = re.findall(r"^  ([a-z-]+)  ", skyfan("--help").stdout.partition("Commands:")[2], re.MULTILINE)
    assert listed == list(main.commands)


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        ("serch night", "'search'"),
        ("plan images --out x", "--to"),
        ("plan images -o x", "--to"),
        ("plan nope.fits", "nope.fits"),
        ("plan --dates 2020-13-01..", "2020-13-01"),
        ("plan --around 1.2.3 4", "1.2.3"),
        ("plan --around 10 -91", "-91"),
        ("plan --around 10 -41 --radius 5", "5s, 2m or 1d"),
        ("plan images --refesh", "--refresh"),
        ("run nope.fits", "nope.fits"),
        ("run images --function SepExtrat", "SepExtract"),
        ("run images -o out --run a/b", "a/b"),
        ("status nihgt -o out", "'night'"),
        ("status night -o nowhere", "nowhere"),
        ("status night", "--output"),
        ("retry nihgt -o out", "'night'"),
        ("cancel night -o out", "Ctrl-C"),
        ("collect nihgt -o out", "'night'"),
        ("search nihgt -o out --around 1 2 --radius 1s", "'night'"),
        ("search night -o out --around 1 2 --radius 1", "5s, 2m or 1d"),
        ("search night -o out --around 1 2 --radius -1s", "5s, 2m or 1d"),
        ("search night -o out --around 1 2 --radius 1s --columns MAG_ATUO", "MAG_AUTO"),
        ("search night -o out --around 1 2 --radius 1s --out x.fits", "--to"),
        ("costs nihgt -o out", "'night'"),
        ("costs --log nope.log", "nope.log"),
        ("report nihgt -o out", "'night'"),
        ("show nope.fits", "nope.fits"),
        ("show images/b_flt.fits --output x.png", "--to"),
        ("show images/c_flt.fits --run night -o out", "failed"),
        ("show b_fl.fits --run night -o out", "b_flt.fits"),
        ("show b_flt.fits catalog.fits --run night -o out", "catalog.fits"),
        ("runs -o nowhere", "nowhere"),
    ],
)  # fmt: skip
def test_wrong_input_is_2_and_names_the_way_out(here: Path, words: str, fact: str) -> None:
    before = sorted(here.rglob("*"))
    for more in ([], ["--json"]):
        done = skyfan(*words.split(), *more, charset="ascii")
        check(done, 2)
        assert not done.stdout
        assert fact in done.stderr
        assert done.stderr.count("\n") <= 5
    assert sorted(here.rglob("*")) == before


def test_names_are_printed_as_people_wrote_them(here: Path) -> None:
    for words in (WORKING["plan"][0], WORKING["search"][0]):
        assert NAMES[0] in skyfan(*words).stdout
    assert NAMES[0][:6] in skyfan(*WORKING["plan"][0], width=80).stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--around", "10.6847083 -41.26875"],
        ["--around", "10.6847083", "-41.26875"],
        ["--around=10.6847083", "-41.26875"],
        ["--around", "0h42m44.33s", "-41d16m7.5s"],
        ["--around", "0", "42", "44.33", "-41", "16", "7.5"],
        ["--around", "00:42:44.33", "-41:16:07.5"],
    ],
)
def test_a_position_needs_no_quotes(here: Path, words: list[str]) -> None:
    document = json.loads(
        skyfan("search", "night", "-o", "out", *words, "--radius", "5arcmin", "--json").stdout
    )
    assert document["ra"] == pytest.approx(10.6847083, abs=1e-6)
    assert document["dec"] == pytest.approx(-41.26875)
    assert document["radius"] == pytest.approx(5 / 60)
    assert len(document["sources"]) == 60


def test_a_name_is_resolved_and_a_failure_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from astropy.coordinates import SkyCoord
    from astropy.coordinates.name_resolve import NameResolveError

    def answer(name: str) -> Any:
        if name == "m31":
            return SkyCoord(10.6847083, -41.26875, unit="deg")
        if name == "Nowhere 9":
            raise NameResolveError(
                f"Unable to find coordinates for name '{name}' using https://cds/SNV?{name}"
            )
        raise NameResolveError("All Sesame queries failed.\nhttps://cds: no route")

    monkeypatch.setattr(SkyCoord, "from_name", answer)
    words = ["search", "night", "-o", "out", "--radius", "1m", "--around"]
    assert skyfan(*words, "m31").stdout.endswith("60 sources within 1m\n")
    lost = skyfan(*words, "Nowhere 9")
    check(lost, 2)
    assert "'Nowhere 9' is neither a position nor a name" in lost.stderr
    unanswered = skyfan(*words, "m33")
    check(unanswered, 2)
    assert "'m33' could not be looked up" in unanswered.stderr
    assert "All Sesame queries failed. https://cds: no route" in unanswered.stderr


def test_a_data_set_without_a_usual_column_is_shown(here: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(here / "out/runs/night/collected", folder)
    for path in [
        *folder.rglob("Npix=*.parquet"),
        *folder.rglob("_common_metadata"),
        *folder.rglob("_metadata"),
    ]:
        pq.write_table(pq.read_table(path).drop_columns(["FWHM_IMAGE", "IMAGE"]), path)
    done = skyfan("search", str(folder), *AROUND)
    check(done, 0)
    assert "60 sources" in done.stdout
    assert "MAG_AUTO" in done.stdout
    assert "FWHM_IMAGE" not in done.stdout
