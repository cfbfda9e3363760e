"""Run mutants and print what became of them: `python -m fuzz 10000 --seed 1`, or one recipe of a find."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .campaign import Tally, run, save
from .child import Child


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=10_000, help="mutants (default: 10000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--finds", type=Path, default=Path("fuzz-finds"), help="folder for recipes of finds")
    parser.add_argument("--recipe", help="run this one instead, a find's recipe in JSON")
    options = parser.parse_args()
    if options.recipe:
        child = Child()
        answer = child.run(json.loads(options.recipe))
        child.close()
        print(json.dumps(answer, indent=1))
        return bool(answer["faults"])
    saved = 0

    def seen(tally: Tally) -> None:
        nonlocal saved
        if len(tally.finds) > saved:
            save(tally.finds[saved:], options.finds)
            saved = len(tally.finds)
        if (done := tally.outcomes.total()) % 1000 == 0:
            print(f"{done} mutants, {tally.kinds.total()} finds, {tally.seconds:.0f} s", file=sys.stderr)

    tally = run(options.seed, options.number, options.start, seen=seen)
    print(tally.table())
    if saved:
        print(f"recipes: {options.finds / 'finds.jsonl'}")
    return bool(tally.kinds)


if __name__ == "__main__":
    sys.exit(main())
