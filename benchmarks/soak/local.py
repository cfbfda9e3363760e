"""The soak of the local engine: small images through kills, full disks and a bucket with faults."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from standins.bucket import Bucket, serving
from standins.deliveries import START

from . import figures, images, remains, trouble

_TICK_S, _SAMPLE_S = 0.05, 0.5
_ANY_MOMENT = 0.25
"""The share of the kills that also fall while a command line starts or ends, and not only into its work."""
_IMAGES_PER_TROUBLE, _TROUBLES = 60, 150
"""On average; in a long soak fewer, because each worker that starts costs as much as 50 images."""
_ALONE, _CALM = 0.4, 0.2
"""The shares of the images, the last, in which the command line is left alone, and its workers too, to see
what they hold on to."""
_ORPHANS_S, _START_S = 20.0, 8.0
_RUN = "soak"


@dataclass
class Report:
    """What the soak has seen."""

    counts: dict[str, int] = field(default_factory=dict)
    troubles: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    balances: int = 0
    orphans_s: float = 0.0
    """The longest time that any process outlived its command line."""
    seconds: float = 0.0
    moments: Counter[str] = field(default_factory=Counter)
    """Of the kills: before the first catalog of their command line, at work, after the last."""
    command_line: figures.Series = field(default_factory=lambda: figures.Series("command line"))
    local: figures.Series = field(default_factory=lambda: figures.Series("worker, local images"))
    remote: figures.Series = field(default_factory=lambda: figures.Series("worker, images in S3"))
    """Apart, because a plan has the local ones first, and a worker loads its client of S3 with the others."""
    trends: list[str] = field(default_factory=list)
    catalogs: int = 0
    broken: list[str] = field(default_factory=list)
    """What must not be, a line each."""


@dataclass(frozen=True)
class _Kill:
    """The moment of a kill: so many catalogs, and a monotonic time."""

    done: int
    not_before: float


class Soak:
    """One soak below ``folder``."""

    def __init__(self, folder: Path, number: int, kills: int, seed: int, jobs: int) -> None:
        self.folder, self.number, self.jobs = folder, number, jobs
        self.rng = random.Random(seed)
        self.token = secrets.token_hex(8)
        self.output = folder / "output"
        self.report = Report()
        self._trouble = trouble.Trouble(self.rng, self.report.troubles)
        until = int(number * (1 - _ALONE))
        self._kills = sorted(self.rng.randrange(until) for _ in range(kills))

    def run(self) -> Report:
        """Makes the inputs, sends them through all troubles, mends what failed, and looks."""
        self._began = time.monotonic()
        images.make(self.folder / "images")
        self.inputs = images.lay_out(
            self.folder / "images", self.folder / "inputs", self.folder / "bucket", self.number
        )
        self.local = sum(one.uri.startswith("file:") for one in self.inputs)
        (self.folder / "list.txt").write_text("".join(f"{one.uri}\n" for one in self.inputs))
        for name in ("tmp", "state"):
            (self.folder / name).mkdir()
        bucket, spoil = Bucket(self.folder / "bucket"), trouble.spoil(self.rng, self.report.troubles)
        with serving(bucket) as url:
            self._environment = {
                **os.environ,
                "SKYFAN_SOAK": self.token,
                "TMPDIR": str(self.folder / "tmp"),
                "XDG_STATE_HOME": str(self.folder / "state"),
                "XDG_CACHE_HOME": str(self.folder / "state"),
                "AWS_ENDPOINT_URL_S3": url,
                "COLUMNS": "200",
            }
            self._plan()
            bucket.spoil = spoil
            self._through_troubles()
            bucket.spoil = None
            self._mend()
        self._look()
        self.report.seconds = time.monotonic() - self._began
        return self.report

    def _plan(self) -> None:
        """Once, and without faults: the sizes of thousands of objects would be asked for in each call."""
        words = [*START, "plan", "@list.txt", "--to", "plan.parquet"]
        done = subprocess.run(
            words, capture_output=True, text=True, env=self._environment, cwd=self.folder, check=False
        )
        if not (self.folder / "plan.parquet").exists():
            raise AssertionError(done.stderr)
        images.remove_absent(self.folder / "bucket", self.inputs)

    def _through_troubles(self) -> None:
        words = self._run_words()
        for _ in range(3 * len(self._kills) + 20):
            code = self._call(words)
            if code in (0, 1) and not self._kills:
                return
            is_retry = (self.output / "runs" / _RUN / "run.json").exists() and self.rng.random() < 0.3
            words = self._retry_words() if is_retry else self._run_words()
            if self.rng.random() < 0.4:
                self._balance()
        self._break("the run does not come to its end")

    def _mend(self) -> None:
        """Without troubles, `retry` mends all but what can never be measured."""
        for _ in range(3):
            self._call(self._run_words(), calm=True)
            self._call(self._retry_words(), calm=True)
            counts = self._balance()
            if counts["done"] == sum(not one.error for one in self.inputs):
                break
        self.report.counts = counts

    def _call(self, words: list[str], *, calm: bool = False) -> int:
        """One call of the command line, through its troubles unless all is calm."""
        number = sum(self.report.calls.values())
        with self._started(words) as process, ThreadPoolExecutor(1) as reader:
            assert process.stdout
            output = reader.submit(process.stdout.read)  # a pipe: no file, which it may not be able to write
            ended = self._accompany(process, calm=calm)
            code = process.wait()
        kind = f"{words[0]}: exit {code}"
        self.report.calls[kind] += 1
        text = output.result()
        last = (text.strip().splitlines() or [""])[-1]
        progress = f"{time.monotonic() - self._began:6.0f} s, {self._done():6,} done, {kind}"
        print(f"{progress}: {last}", file=sys.stderr, flush=True)
        # While it is imported, Python itself answers to a SIGINT.
        if "Traceback" in text and code != -signal.SIGINT:
            self._break(f"call {number}, {kind}: {text[-1500:]}")
        expected = {signal.SIGKILL: (-9,), signal.SIGTERM: (-15, 143), signal.SIGINT: (130, -2)}.get(
            ended, ()
        )
        if code not in (0, 1, *expected) and not (code == 2 and self._was_full):
            self._break(f"call {number}, {kind}: {text[-600:]}")
        self._await_orphans(number)
        self._trouble.recover(all_=True)
        return code

    @contextmanager
    def _started(self, words: list[str]) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [*START, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self.folder,
            env=self._environment,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def _accompany(self, process: subprocess.Popen[str], *, calm: bool) -> signal.Signals | None:
        """Takes samples, makes trouble; returns the signal that ended the command line, if one did."""
        command = psutil.Process(process.pid)
        self._was_full = False
        before = done = self._done()
        sampled, next_trouble = 0.0, done + self._pause()
        kill = self._next_kill(before) if not calm and self._kills else None
        while process.poll() is None:
            time.sleep(_TICK_S)
            now = time.monotonic()
            self._trouble.recover()
            if now - sampled < _SAMPLE_S:
                continue
            sampled, done = now, self._done()
            workers = trouble.workers(command)
            if workers and done > before:
                self.report.command_line.add(done, command)
                for worker in workers:
                    is_local = done < 0.95 * self.local
                    if is_local or done > self.local:
                        (self.report.local if is_local else self.report.remote).add(done, worker)
            if kill and done >= kill.done and now >= kill.not_before:
                time.sleep(self.rng.uniform(0, _SAMPLE_S))
                self._kills.pop(0)
                return self._kill(command, before) if process.poll() is None else None
            if not calm and next_trouble <= done < self.number * (1 - _CALM):
                next_trouble = done + self._pause()
                self._strike(command)
        return None

    def _next_kill(self, done: int) -> _Kill:
        """When the command line that has just started is killed: at work, or at any moment of its life."""
        if self.rng.random() < _ANY_MOMENT:
            return _Kill(0, time.monotonic() + self.rng.uniform(0, _START_S))
        return _Kill(max(self._kills[0], done + 1 + int(self._pause() / 2)), 0.0)

    def _kill(self, command: psutil.Process, before: int) -> signal.Signals:
        is_at_work = bool(trouble.workers(command))
        moment = "at work" if is_at_work else "at the start" if self._done() == before else "at the end"
        self.report.moments[moment] += 1
        return self._trouble.end(command)

    def _pause(self) -> float:
        """Images until the next trouble."""
        return self.rng.expovariate(1 / max(_IMAGES_PER_TROUBLE, self.number / _TROUBLES))

    def _strike(self, command: psutil.Process) -> None:
        if self.rng.random() < 0.05:
            self.report.troubles["disk of the command line"] += 1
            self._was_full = True
            with remains.gone():
                self._trouble.fill(command)
        else:
            self._trouble.strike(command)

    def _await_orphans(self, number: int) -> None:
        began = time.monotonic()
        while found := remains.processes(self.token):
            if time.monotonic() - began > _ORPHANS_S:
                self._break(f"call {number}: {len(found)} processes outlive it: {found}")
                for process in found:
                    process.kill()
                break
            time.sleep(0.01)
        self.report.orphans_s = max(self.report.orphans_s, time.monotonic() - began)

    def _balance(self) -> dict[str, int]:
        """The counts of `skyfan status`, which must balance and agree with the files that there are."""
        words = [*START, "status", _RUN, "--output", str(self.output), "--json"]
        done = subprocess.run(
            words, capture_output=True, text=True, env=self._environment, cwd=self.folder, check=False
        )
        try:
            counts: dict[str, int] = json.loads(done.stdout)["counts"]
        except ValueError:
            if not (self.output / "runs" / _RUN / "run.json").exists():
                return {"done": 0}
            self._break(f"status: exit {done.returncode}: {done.stdout[-300:]}{done.stderr[-600:]}")
            return {"done": 0}
        self.report.balances += 1
        if counts["planned"] != sum(counts.values()) - counts["planned"]:
            self._break(f"the counts do not balance: {counts}")
        if counts["done"] != self._done():
            self._break(f"{self._done()} catalogs: {counts}")
        return counts

    def _done(self) -> int:
        return sum(1 for _ in remains.files(self.output / "runs" / _RUN / "catalogs"))

    def _look(self) -> None:
        """Every catalog, every failure, and nothing else."""
        self.report.broken += remains.left(self.folder, self.output / "runs" / _RUN)
        self._await_orphans(-1)
        for series in (self.report.command_line, self.report.local, self.report.remote):
            for name, trend, is_flat in series.trends():
                self.report.trends.append(trend.text(name))
                if not is_flat:
                    self._break(f"not flat: {trend.text(name)}")
        for problem in remains.wrong_catalogs(self.folder, self.output, _RUN, self.inputs):
            self._break(problem)
        self.report.catalogs = self._done()
        expected = Counter(bool(one.error) for one in self.inputs)
        counts = self.report.counts
        if (counts.get("done"), counts.get("failed")) != (expected[False], expected[True]):
            self._break(f"{expected[False]} images and {expected[True]} others: {counts}")

    def _run_words(self) -> list[str]:
        return ["run", "plan.parquet", "--output", str(self.output), "--run", _RUN, "--jobs", str(self.jobs)]

    def _retry_words(self) -> list[str]:
        return ["retry", _RUN, "--output", str(self.output), "--jobs", str(self.jobs)]

    def _break(self, text: str) -> None:
        self.report.broken.append(text)
        print(f"BROKEN: {text}", file=sys.stderr, flush=True)
