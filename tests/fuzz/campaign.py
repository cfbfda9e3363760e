"""Many mutants: counted by outcome, and each find reduced to the fewest mutations that show it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .child import Child, recipe_of
from .mutations import Mutation
from .oracle import CATALOG


@dataclass
class Find:
    """A recipe, and what is wrong with what becomes of it."""

    seed: str
    mutations: list[Mutation]
    faults: list[str]

    @property
    def kind(self) -> str:
        """The kind of its first fault, with the digits left out: what one mistake has in common."""
        text = "".join(c for c in self.faults[0] if not c.isdigit())
        return text[:60]

    def json(self) -> str:
        return json.dumps([self.seed, self.mutations])


@dataclass
class Tally:
    """Outcomes and finds, of one kind at most some."""

    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)
    slowest: float = 0.0
    cpu: float = 0.0
    seconds: float = 0.0

    def table(self) -> str:
        total = self.outcomes.total()
        lines = [
            f"{name:24}{count:9}{100 * count / total:8.2f} %" for name, count in self.outcomes.most_common()
        ]
        lines += [f"{'mutants':24}{total:9}", f"{'finds':24}{self.kinds.total():9}"]
        lines += [f"  {count:6} {kind}" for kind, count in self.kinds.most_common()]
        lines.append(f"CPU time {self.cpu:.0f} s, at most {self.slowest:.2f} s, in {self.seconds:.0f} s")
        return "\n".join(lines)


def run(
    seed: int,
    number: int,
    start: int = 0,
    seconds: float | None = None,
    keep: int = 3,
    seen: Callable[[Tally], Any] = lambda _: None,
) -> Tally:
    """Run mutants ``start`` to ``start + number`` of a ``seed``, no longer than ``seconds``."""
    tally, child, begun = Tally(), Child(), time.monotonic()
    try:
        for index in range(start, start + number):
            if seconds is not None and time.monotonic() - begun > seconds:
                break
            answer = child.run([seed, index])
            tally.outcomes[answer["outcome"]] += 1
            tally.slowest, tally.cpu = max(tally.slowest, answer["cpu"]), tally.cpu + answer["cpu"]
            tally.seconds = time.monotonic() - begun
            if answer["faults"]:
                find = Find(*recipe_of(seed, index), answer["faults"])
                tally.kinds[find.kind] += 1
                if tally.kinds[find.kind] <= keep:
                    tally.finds.append(reduced(child, find))
            seen(tally)
    finally:
        child.close()
    return tally


def reduced(child: Child, find: Find) -> Find:
    """The find with the fewest mutations that still show it; as it is, if it shows only at times."""
    at = 0
    while at < len(find.mutations):
        fewer = find.mutations[:at] + find.mutations[at + 1 :]
        answer = child.run([find.seed, fewer])
        smaller = Find(find.seed, fewer, answer["faults"])
        if smaller.faults and smaller.kind == find.kind:
            find = smaller
        else:
            at += 1
    return find


def save(finds: list[Find], folder: Path) -> None:
    """Append the finds, a line of JSON each."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "finds.jsonl").open("a") as file:
        for find in finds:
            file.write(json.dumps({"recipe": [find.seed, find.mutations], "faults": find.faults}) + "\n")


__all__ = ["CATALOG", "Find", "Tally", "reduced", "run", "save"]
