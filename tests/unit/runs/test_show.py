"""What `skyfan status` prints beside counts: remedies and advice."""

import io

import pytest
from rich.console import Console

from skyfan.runs import show, state
from skyfan.runs.failures import FailureGroup

from .conftest import Handmade


def printed(handmade: Handmade) -> str:
    out = io.StringIO()
    found = state.read(handmade.place, "r", handmade.lambdas)
    show.show(Console(file=out, width=200), found, found.doubts())
    return out.getvalue()


@pytest.mark.parametrize(
    ("cure", "remedy"),
    [("never", "permanent"), ("larger", "most memory"), ("retry", "skyfan retry"), (None, "skyfan retry")],
)
def test_each_group_of_failures_has_count_example_and_remedy(cure: str | None, remedy: str) -> None:
    group = FailureGroup("SomeError", 3, "s3://b/k", "it broke", "s3://f/r", cure)
    text = "\n".join(show.failure_lines([group]))
    for part in ("3 x SomeError", "s3://b/k", "it broke", "s3://f/r", remedy):
        assert part in text


def test_no_failures_print_nothing() -> None:
    assert list(show.failure_lines([])) == []


def test_unsent_files_are_no_failure(handmade: Handmade) -> None:
    handmade.plan(["s3://b/a.fits"])
    assert not show.has_unsuccessful(state.read(handmade.place, "r"))
    assert "`skyfan run`" in printed(handmade)
    assert "`skyfan retry" not in printed(handmade)


def test_an_unfinished_cancel_is_shown_with_its_remedy(handmade: Handmade) -> None:
    handmade.plan(["s3://b/a.fits"])
    handmade.place.put("runs/r/cancel.json", b'[{"began": 1.0, "reserved": {"f": null}, "ended": null}]')
    assert "`skyfan cancel r --restore`" in printed(handmade)
