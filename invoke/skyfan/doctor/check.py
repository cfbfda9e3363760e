"""A check of what works, its time limit, and what it found."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from skyfan_contract import without_passwords

from ..errors import UsageError
from ..formatting import one_line

T = TypeVar("T")
State = Literal["ok", "doubtful", "missing", "unchecked"]
PURPOSES = ("laptop", "pictures", "plan", "aws", "deploy", "sam")
"""What a check can be needed for: `run` on this machine, axes around pictures, queries of the archive, a
deployed stack, deploying one, and containers on this machine.
"""
LOCAL_S = 20.0
"""Time limit for what this machine knows by itself; imports from a slow disk take most of it."""
REQUEST_S = 20.0
"""Time limit for a request, its retry included. A check that needs the answers of n others has n more."""


class Answer(NamedTuple):
    """What a check found."""

    state: State
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Finding:
    """A line of the report."""

    check: str
    state: State
    """`doubtful` works, with limits; `unchecked` needs what another check misses."""
    text: str
    advice: str
    """What to do; empty if nothing is."""
    needed_for: tuple[str, ...]
    """Some of PURPOSES."""

    def blocks(self, purpose: str) -> bool:
        """Whether `purpose` does not work because of this."""
        return purpose in self.needed_for and self.state in {"missing", "unchecked"}


@dataclass(frozen=True)
class Diagnosis:
    """All findings, in the order of the checks."""

    findings: list[Finding]

    def works(self, purpose: str) -> bool:
        """Whether nothing is missing that one of PURPOSES needs."""
        return not any(finding.blocks(purpose) for finding in self.findings)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "works": {purpose: self.works(purpose) for purpose in PURPOSES},
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass(frozen=True)
class Check:
    """A question. `find` may raise anything and take any time; `fault` is the finding if it raises."""

    name: str
    needed_for: tuple[str, ...]
    fault: str
    find: Callable[[], Answer]
    limit_s: float = REQUEST_S

    def finding(self, answer: Answer) -> Finding:
        """The line of the report."""
        text, advice = (one_line(without_passwords(part)) for part in answer[1:])
        return Finding(self.name, answer.state, text, advice, self.needed_for)


def examined(checks: list[Check]) -> dict[str, Finding]:
    """The findings by name. Checks run at once, in threads that are left behind if they hang."""
    answers: dict[str, Answer] = {}

    def examine(check: Check) -> None:
        try:
            answer = check.find()
        except NotCheckedError as reason:
            answer = Answer("unchecked", f"not checked: {reason}")
        except BaseException as error:
            said = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
            answer = Answer("missing", check.fault, said)
        answers[check.name] = answer

    start = time.monotonic()
    threads = [threading.Thread(target=examine, args=[check], daemon=True) for check in checks]
    for thread in threads:
        thread.start()
    findings = {}
    for check, thread in zip(checks, threads, strict=True):
        thread.join(max(0.0, start + check.limit_s - time.monotonic()))
        late = Answer(
            "missing",
            f"no answer within {check.limit_s:.0f} s",
            "try again later; if others answer, a firewall may swallow the requests",
        )
        findings[check.name] = check.finding(answers.get(check.name, late))
    return findings


class NotCheckedError(Exception):
    """A check needs what another one did not find."""


class Shared(Generic[T]):
    """An answer that further checks need."""

    def __init__(self, name: str, limit_s: float) -> None:
        self._name, self._limit_s = name, limit_s
        self._over = threading.Event()
        self._values: list[T] = []

    def make(self, call: Callable[[], T]) -> T:
        """The result of `call`, for the other checks too. Raises what it raises."""
        try:
            value = call()
            self._values.append(value)
        finally:
            self._over.set()
        return value

    def get(self) -> T:
        """The result, once it is there. Raises NotCheckedError if there is none."""
        self._over.wait(self._limit_s)
        if not self._values:
            raise NotCheckedError(f"it needs {self._name}")
        return self._values[0]
