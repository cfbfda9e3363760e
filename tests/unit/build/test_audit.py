"""build/audit.py: exit code 0 is for "nothing found" and for "cannot reach", and for nothing else."""

from pathlib import Path

import audit
import pytest

GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "odd", "skip_reason": "not found"}
PATHS = [Path("small.txt"), Path("large.txt")]


@pytest.mark.parametrize(
    ("reports", "status", "named"),
    [
        ([[GOOD], [GOOD, GOOD]], 0, "2 locks"),
        ([[GOOD], [GOOD, BAD]], 1, "PYSEC-1"),
        ([[BAD], None], 1, "PYSEC-1"),
        ([[GOOD], [GOOD, SKIPPED]], 1, "odd"),
        ([None, [BAD]], 0, "NOT AUDITED"),
        ([[GOOD], None], 1, "large.txt"),
    ],
)
def test_the_exit_code(reports: list[audit.Report | None], status: int, named: str) -> None:
    waiting = iter(reports)

    def look(path: Path) -> audit.Report:
        if (report := next(waiting)) is None:
            raise audit.UnreachableError("nobody is there")
        return report

    found, lines = audit.audit(PATHS, look)
    assert found == status
    assert named in "\n".join(lines)


@pytest.mark.parametrize(
    ("stdout", "stderr", "error"),
    [
        ('{"dependencies": [{"name": "uv", "skip_reason": "not found"}]}', "", audit.UnreachableError),
        ("", "ERROR: Could not connect to the vulnerability feed", audit.UnreachableError),
        ("", "ERROR: invalid requirements input", RuntimeError),
        ("[]", "", RuntimeError),
    ],
)
def test_what_pip_audit_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stdout: str, stderr: str, error: type[Exception]
) -> None:
    tool = tmp_path / "pip-audit"
    tool.write_text(f"#!/bin/sh\necho '{stdout}'\necho '{stderr}' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setattr(audit, "TOOL", tool)
    with pytest.raises(error):
        audit.look_up(tmp_path / "lock.txt")


def test_the_smallest_lock_comes_first() -> None:
    assert audit.locks()[0].name == "lock.txt"
    assert len(audit.locks()) >= 10
