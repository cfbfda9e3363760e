"""Mutation test: python build/mutants.py [GROUP ...] [--sample N|all] [--seed N] [--jobs N]

Makes one change at a time and runs the tests of its group that reach it, in a forked process; no file of the
clone is written. What no test notices survives and is printed. mutants_equivalent.toml lists, with reasons,
changes that no test should notice. The exit status is 1 where less than 90 % of a group's others are noticed.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import contextlib
import functools
import importlib
import json
import mmap
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest
from mutants_changes import Change, changes, probed

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "build" / "mutants_equivalent.toml"
_SCIENCE, _SKYFAN = "functions/sep_extract/sep_extract", "invoke/skyfan"
_AWS = " ".join(f"contract/test_{name}.py" for name in ("sender", "connection", "deployed"))
# Folder and names of modules, and patterns of their tests. What show*.py print is words, and is left out.
GROUPS = {
    "extraction": (_SCIENCE, "extract segments background ladder coverage", "unit/sep_extract/test_{}*.py"),
    "photometry": (_SCIENCE, "photometry apertures windowed", "unit/sep_extract/test_{}*.py"),
    "noise": (_SCIENCE, "noise", "unit/sep_extract/test_{}*.py"),
    "catalog": (_SCIENCE, "catalog parquet calibrate units", "unit/sep_extract/test_{}*.py"),
    "bill": (f"{_SKYFAN}/bill", "*", "unit/bill/test_*.py"),
    "aws": (f"{_SKYFAN}/aws", "*", f"unit/aws/test_*.py {_AWS}"),
    "runs": (f"{_SKYFAN}/runs", "*", "unit/runs/test_*.py"),
}
_PYTEST = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp"]
_ENOUGH, _BROKEN = 0.9, 99
Mutant = tuple[Path, Change | None, list[str]]


@functools.cache
def source(path: Path) -> str:
    """As it was when this began."""
    return path.read_text(encoding="utf-8")


class Tests:
    """A pytest plugin: runs ``only``, in this order, or all, and notes what each reaches."""

    def __init__(self, hits: mmap.mmap, only: Iterable[str] = ()) -> None:
        self.hits, self.order = hits, {name: number for number, name in enumerate(only)}
        self.seconds: Counter[str] = Counter()
        self.reached: dict[str, set[int]] = defaultdict(set)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings

        some = settings(
            deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
        )
        settings.register_profile("mutants", some)
        settings.load_profile("mutants")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.order:
            items[:] = sorted(
                (i for i in items if i.nodeid in self.order), key=lambda i: self.order[i.nodeid]
            )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What a set-up reaches counts for all tests of the file: fixtures may be shared."""
        if not self.order:
            name = report.nodeid.partition("::")[0] if report.when == "setup" else report.nodeid
            self.reached[name] |= {k for k, hit in enumerate(self.hits[:]) if hit}
            self.hits[:] = bytes(len(self.hits))
            self.seconds[report.nodeid] += report.duration

    def reaching(self, lines: Iterable[int], module: str) -> list[str]:
        """The tests that reach any of the lines: those of the module's own file first, then by time."""
        file_of, wanted = {name: name.partition("::")[0] for name in self.seconds}, set(lines)
        found = [name for name in self.seconds if wanted & (self.reached[name] | self.reached[file_of[name]])]
        return sorted(found, key=lambda name: (module not in file_of[name], self.seconds[name]))


def load(code: dict[str, Any]) -> None:
    """Imports of these paths take this code."""
    usual = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> Any:
        return code[self.path] if self.path in code else usual(self, fullname)

    SourceFileLoader.get_code = get_code


def fork(work: Callable[[], int]) -> int:
    """The ID of a process, the first of its group, that does the work in silence."""
    if pid := os.fork():
        return pid
    status = _BROKEN
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        if "SKYFAN_MUTANTS_LOUD" not in os.environ:
            for stream in (0, 1, 2):
                os.dup2(os.open(os.devnull, os.O_RDWR), stream)
        status = int(work())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def baseline(tests: list[str], files: dict[Path, range], folder: Path) -> Tests:
    """What tests reach in the files as they are, as numbers: line n of a file is files[file][n]."""
    seen = Tests(mmap.mmap(-1, max(lines.stop for lines in files.values())))

    def work() -> int:
        builtins._hits = seen.hits
        trees = {path: probed(ast.parse(source(path)), lines.start) for path, lines in files.items()}
        load({str(path): compile(tree, path, "exec") for path, tree in trees.items()})
        status = pytest.main([*_PYTEST, str(folder / "tests"), *tests], [seen])
        others = [n for n, m in sys.modules.items() if "site-packages" in str(getattr(m, "__file__", ""))]
        found = seen.seconds, {name: sorted(lines) for name, lines in seen.reached.items()}, others
        (folder / "found.json").write_text(json.dumps(found))
        return int(status)

    if os.waitpid(fork(work), 0)[1]:
        sys.exit(f"{', '.join(tests)}: they fail without a change")
    seconds, reached, others = json.loads((folder / "found.json").read_text())
    for name in others:  # once, and not again in each mutant
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    seen.seconds.update(seconds)
    seen.reached.update({name: set(lines) for name, lines in reached.items()})
    return seen


def test(mutant: Mutant, folder: Path) -> int:
    """What a mutant's process does: 0 if the tests pass. Without a change they have to."""
    path, change, names = mutant
    tree = ast.parse(source(path))
    if change:
        next(c for c in changes(tree) if c.number == change.number)
    load({str(path): compile(tree, path, "exec")})
    files = dict.fromkeys(name.partition("::")[0] for name in names)
    try:
        return int(
            pytest.main([*_PYTEST, str(folder / str(os.getpid())), *files], [Tests(mmap.mmap(-1, 1), names)])
        )
    except Exception:  # pytest's own end raises what a destructor has warned of
        if change is None:
            raise
        return 1


def survivors(mutants: list[Mutant], seconds: Counter[str], folder: Path, jobs: int) -> Iterator[Mutant]:
    """Those that no test notices, by failing or by taking far too long."""
    yield from (mutant for mutant in mutants if not mutant[2])
    waiting, running = [mutant for mutant in mutants if mutant[2]], {}
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop(0)
            pid = fork(lambda: test(mutant, folder))  # noqa: B023
            running[pid] = mutant, time.monotonic() + 30 + 10 * sum(seconds[name] for name in mutant[2])
        time.sleep(0.02)
        for pid, (mutant, end) in list(running.items()):
            if is_late := time.monotonic() > end:
                os.killpg(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, 0 if is_late else os.WNOHANG)
            if done:
                if (code := os.waitstatus_to_exitcode(status)) in (
                    _BROKEN,
                    pytest.ExitCode.NO_TESTS_COLLECTED,
                ):
                    sys.exit(f"could not run the tests of {mutant}")
                if code == 0:
                    yield mutant
                del running[pid]
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)  # what it left behind
                shutil.rmtree(folder / str(pid), ignore_errors=True)


def run(group: str, sample: int | None, seed: int, jobs: int) -> tuple[int, int, int]:
    """How many changes were made, how many survived, how many are equivalent; survivors are printed."""
    place, names, tests = GROUPS[group]
    paths = [
        p
        for name in names.split()
        for p in sorted((ROOT / place).glob(f"{name}.py"))
        if not p.name.startswith("show")
    ]
    files, total = {}, 0
    for path in paths:
        files[path] = range(total, total := total + len(source(path).splitlines()) + 1)
    every = [(path, change) for path in paths for change in changes(ast.parse(source(path)))]
    chosen = random.Random(f"{group} {seed}").sample(every, min(sample or len(every), len(every)))
    known = tomllib.loads(EQUIVALENT.read_text())
    equal = [(path, c) for path, c in chosen if c.text in known.get(str(path.relative_to(ROOT)), {})]
    patterns = [pattern.format(name) for pattern in tests.split() for name in names.split()]
    own = sorted({str(path) for pattern in patterns for path in Path("tests").glob(pattern)})
    with tempfile.TemporaryDirectory() as folder:
        seen = baseline(own, files, Path(folder))
        mutants: list[Mutant] = []
        for path, change in chosen:
            if (path, change) not in equal:
                lines = [files[path][change.statement]] if change.statement else files[path]
                mutants.append((path, change, seen.reaching(lines, path.stem)))
        mutants.insert(0, (paths[0], None, next(names for *_, names in mutants if names)))
        survived = 0
        for path, change, names in survivors(mutants, seen.seconds, Path(folder), jobs):
            if change:
                survived += 1
                why = "" if names else "  (no test reaches it)"
                print(f"{path.relative_to(ROOT)}:{change.line}: {change.text}{why}", flush=True)
            else:
                mutants.clear()
    if mutants:
        sys.exit(f"the tests of {group} fail without a change")
    return len(chosen), survived, len(equal)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)} (default: all)")
    parser.add_argument("--sample", default="40", help="changes per group, or all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    sample = None if options.sample == "all" else int(options.sample)
    counts = {group: run(group, sample, options.seed, options.jobs) for group in options.groups or GROUPS}
    print(f"{'group':12}{'mutants':>9}{'killed':>9}{'survived':>10}{'equivalent':>12}{'score':>8}")
    scores = []
    for group, (made, survived, equal) in counts.items():
        killed = made - survived - equal
        scores.append(killed / max(made - equal, 1))
        print(f"{group:12}{made:9}{killed:9}{survived:10}{equal:12}{scores[-1]:8.0%}")
    return int(min(scores) < _ENOUGH)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
