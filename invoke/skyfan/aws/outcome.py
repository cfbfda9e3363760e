"""What a run on AWS came to, and what it tells while it goes on."""

from dataclasses import dataclass
from typing import Any

from ..runs.outcome import RunState
from .sender import Counts


@dataclass
class Outcome:
    """What one call of the AWS engine did, and where the run stands."""

    run: str
    place: str
    files: int
    """Of the plan that was given."""
    done_before: int = 0
    sent_before: int = 0
    """Accepted by Lambda in an earlier call; what came of them is in `state`."""
    sent: int = 0
    left: int | None = 0
    """Files that were to be sent and were not; None where that is not known."""
    stopped: str = ""
    """Why not all was sent; empty where all was."""
    refused: bool = False
    """Whether it was Lambda, not a limit, that stopped it: then nothing is waited for."""
    counts: Counts | None = None
    send_s: float = 0.0
    seconds: float = 0.0
    state: RunState | None = None
    """Of the whole run, as it was seen last; None without waiting."""

    @property
    def trouble(self) -> int:
        """Files of the run that failed, or of which nothing came in the time that they may take."""
        counts = self.state.counts if self.state else {}
        return sum(counts.get(name, 0) for name in ("failed", "missing", "cancelled", "late"))

    def document(self, *, interrupted: bool = False) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        groups = self.state.groups() if self.state else []
        return {
            "run": self.run,
            "place": self.place,
            "interrupted": interrupted,
            "stopped": self.stopped or None,
            "files": self.files,
            "done_before": self.done_before,
            "sent_before": self.sent_before,
            "sent": self.sent,
            "left": self.left,
            "invocations": self.counts.accepted if self.counts else 0,
            "throttled": self.counts.throttled if self.counts else 0,
            "errors": self.counts.errors if self.counts else 0,
            "broken": self.counts.broken if self.counts else 0,
            "send_seconds": round(self.send_s, 3),
            "seconds": round(self.seconds, 3),
            "state": self.state.counts if self.state else None,
            "failures": [
                {
                    "errorType": group.error_type,
                    "count": group.count,
                    "permanent": group.permanent,
                    "example": {"input": group.input, "message": group.message, "record": group.record},
                }
                for group in groups
            ],
        }


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: what was sent is recorded, and goes on in Lambda."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("interrupted")
        self.outcome = outcome
