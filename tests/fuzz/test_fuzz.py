"""The fuzzer: what it finds again, that it finds at all, and a short campaign of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from fuzz import campaign, seeds
from fuzz.child import Child, recipe_of
from fuzz.guided import READERS, drive
from fuzz.mutations import APPLY, apply
from fuzz.oracle import CATALOG, Answer, faults
from fuzz.recipes import RECIPES

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="counts memory as Linux does"
)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    process = Child()
    yield process
    process.close()


@pytest.mark.slow
@pytest.mark.parametrize("why", RECIPES)
def test_what_was_found_once(child: Child, why: str) -> None:
    """Each is small, and ends well."""
    seed, mutations, ends = RECIPES[why]
    assert len(apply(seeds.seed(seed), mutations)) < 350_000
    answer = child.run([seed, mutations])
    assert (answer["outcome"], answer["faults"]) == (ends, [])


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [1, 2])
def test_mutants_end_well(chosen: int) -> None:
    """The same mutants every time: a new seed is for `make fuzz`, whose finds take time to mend."""
    tally = campaign.run(chosen, 400, seconds=120)
    print(tally.table())
    recipes = "\n".join(f"{find.faults}\n  python -m fuzz --recipe '{find.json()}'" for find in tally.finds)
    assert not tally.finds, f"SEED={chosen}\n{recipes}"
    assert tally.outcomes[CATALOG]


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_readers_of_foreign_text_are_driven_to_more_lines(name: str) -> None:
    done, lines = drive(name, 2.0, 1)
    assert done
    assert lines


def test_a_mutant_is_the_same_each_time_and_all_mutations_occur() -> None:
    once, again = ([recipe_of(5, i) for i in range(1500)] for _ in range(2))
    assert once == again == json.loads(json.dumps(once)) or once == [
        tuple(r) for r in json.loads(json.dumps(again))
    ]
    assert {seed for seed, _ in once} == set(seeds.MAKE)
    used = Counter(mutation[0] for _, mutations in once for mutation in mutations)
    assert set(used) == set(APPLY)
    assert len({json.dumps(recipe) for recipe in once}) > 1400


@pytest.mark.parametrize(
    ("result", "error", "output", "kind"),
    [
        ({"errorType": "TypeError", "errorMessage": "mutant"}, None, b"{}", "unnamed"),
        ({"errorType": "StorageError", "errorMessage": "mutant"}, None, b"{}", "unnamed"),
        ({"errorType": "UnreadableError", "errorMessage": "oh"}, None, b"{}", "message"),
        ({"errorType": "UnreadableError", "errorMessage": "mutant"}, None, b"{}", "missing"),
        (None, MemoryError(), b"{}", "raised"),
        ({"errorType": "UnreadableError", "errorMessage": "mutant"}, None, b'{"a": NaN}', "output"),
        ({"errorType": "UnreadableError", "errorMessage": "mutant"}, None, b"{}\nhello", "output"),
        ({"sources": 0}, None, b"{}", "missing"),
    ],
)
def test_what_the_oracle_takes_for_a_fault(
    tmp_path: Path, result: dict[str, str] | None, error: Exception | None, output: bytes, kind: str
) -> None:
    answer = Answer(result, error, output, b"", tmp_path / "catalog", tmp_path / "record")
    assert kind in {fault.partition(":")[0] for fault in faults(answer, b"", None, [])}


def test_a_find_is_reduced_to_what_shows_it() -> None:
    def run(request: tuple[str, list[list[int]]]) -> dict[str, list[str]]:
        return {"faults": ["slow: 5 s"] if [7] in request[1] else ["other"] if [8] in request[1] else []}

    child = SimpleNamespace(run=run)
    find = campaign.Find("plain", [[i] for i in range(10)], ["slow: 17 s"])
    assert campaign.reduced(child, find).mutations == [[7]]  # type: ignore[arg-type]
