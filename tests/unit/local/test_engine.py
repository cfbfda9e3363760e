"""What the local engine would send: the function of each file's memory tier, and no file that is done."""

from pathlib import Path

import pyarrow as pa
import pytest

from skyfan import api, template
from skyfan.engine import LocalOptions
from skyfan.local.engine import LocalEngine
from skyfan.local.run_folder import RunFolder
from skyfan.plans import plan as plans
from skyfan.plans.plan import Plan
from skyfan.task import Task

TOY = Path(__file__).parents[2] / "process/toy/template.yaml"
# Toy has 300 MB, enough for 1.7 million pixels; ToyLarge 1200 MB, enough for 17 million.
SIZES = {"small": 1000, "large": 20_000_000, "huge": 2_000_000_000, "unknown": None}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    uris = [f"s3://b/{name}.fits" for name in SIZES]
    table = pa.table({"uri": uris, "size": list(SIZES.values()), "tier": ["standard"] * len(SIZES)})
    return plans.write(tmp_path / "plan.parquet", table, {})


def sent(plan: Plan, options: LocalOptions, function: str = "Toy") -> dict[str, str]:
    engine = LocalEngine(template.read(TOY), options)
    calls = engine.plan(Task(function=function), plan).calls
    return {call.uris[0].rpartition("/")[2].removesuffix(".fits"): call.function for call in calls}


def test_each_file_goes_to_the_function_of_its_tier(plan: Plan, tmp_path: Path) -> None:
    expected = {"small": "Toy", "large": "ToyLarge", "huge": "ToyLarge", "unknown": "Toy"}
    assert sent(plan, LocalOptions(tmp_path)) == expected
    assert set(sent(plan, LocalOptions(tmp_path), "ToyLarge").values()) == {"ToyLarge"}, (
        "it has no larger one"
    )


def test_the_memory_of_the_options_decides_instead_of_the_templates(plan: Plan, tmp_path: Path) -> None:
    assert sent(plan, LocalOptions(tmp_path, memory_mb=400))["large"] == "ToyLarge"
    assert sent(plan, LocalOptions(tmp_path, memory_mb=9999))["large"] == "Toy"


def test_a_preview_writes_nothing_and_counts_what_is_done(tmp_path: Path) -> None:
    images = tmp_path / "in"
    images.mkdir()
    for name in ("a.fits", "b.fits"):
        (images / name).write_text("ok")
    result = tmp_path / f"out/runs/r/results{images}/a.fits.txt"
    result.parent.mkdir(parents=True)
    result.write_text("done")
    before = sorted(tmp_path.rglob("*"))
    task = Task("r", function="Toy", config={"thresh": 3})
    with api.preview([str(images)], tmp_path / "out", task, template_file=TOY) as preview:
        (call,) = preview.calls
    uri = (images / "b.fits").as_uri()
    assert (call.function, call.uris) == ("Toy", (uri,))
    assert call.payload.decode() == f'{{"input": "{uri}", "run": "r", "config": {{"thresh": 3}}}}'
    assert (preview.done_before, preview.sent_before, preview.estimate) == (1, 0, None)
    assert sorted(tmp_path.rglob("*")) == before


def test_of_names_that_are_one_to_the_file_system_the_first_is_taken(tmp_path: Path) -> None:
    """Such a system finds run.json as RUN.JSON."""
    first, case, form = (f"s3://b/{name}" for name in ("Caf\xe9.fits", "caf\xe9.fits", "Cafe\u0301.fits"))
    for folds in (False, True):
        output = tmp_path / str(folds)
        folder = RunFolder(output, Task("r", function="Toy"), "s3://out/runs/{run}/{key}.txt")
        folder.folder.mkdir(parents=True)
        if folds:
            (folder.folder / "RUN.JSON").touch()
        refusals = [folder.refusal(uri) for uri in (first, case, form, first, "s3://b/other.fits")]
        messages = ["Caf\xe9.fits" in refusal["errorMessage"] if refusal else None for refusal in refusals]
        assert messages == [None, folds or None, folds or None, None, None]
        assert folder.failure(case) != folder.failure(first)
        assert ("name-too-long" in str(folder.failure(case))) == folds
        folder.result(first).parent.mkdir(parents=True)
        folder.result(first).write_text("done")
        folder.record_result(first, None)
        later = RunFolder(output, folder.task, folder.results)
        assert later.is_taken(case) == folds, "a later call knows whose the results are"
