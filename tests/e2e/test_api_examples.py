"""The example of each public name runs, in the order of a run's story."""

import doctest
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from standins.bucket import Bucket, serving

import skyfan
from skyfan import api

STORY = (
    "PlanOptions",
    "plan",
    "Task",
    "LocalOptions",
    "AwsOptions",
    "SamOptions",
    "Selection",
    "run",
    "collect",
    "match",
    "runs",
    "add_watch",
    "run_watch",
    "watch_log",
    "pause_watch",
    "watches",
    "resume_watch",
    "remove_watch",
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def test_the_examples_of_all_public_names_run(
    tmp_path: Path, demo_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for name in ("abell2744_f105w_drz.fits", "ib4606c6q_flc.fits"):
        shutil.copy(demo_data / name, tmp_path / "images")
    archive = tmp_path / "archive/hst"
    archive.mkdir(parents=True)
    shutil.copy(demo_data / "j8bt06nyq_flt.fits", archive)
    names = {name: getattr(api, name) for name in api.__all__}
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(optionflags=FLAGS)
    for name in (*STORY, *(name for name in api.__all__ if name not in STORY)):
        (example,) = finder.find(names[name], name, globs=dict(names))
        assert example.examples, f"{name} has no example"
        with serving(Bucket(archive.parent)) if name == "fetch" else nullcontext("") as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
            runner.run(example)
    assert runner.summarize(verbose=False).failed == 0, capsys.readouterr().out


def test_skyfan_itself_has_what_notebooks_need() -> None:
    assert set(skyfan.__all__) <= set(api.__all__)
    assert set(skyfan.__all__) <= set(dir(skyfan))
    assert skyfan.run is api.run
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        _ = skyfan.rum
