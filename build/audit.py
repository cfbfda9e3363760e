"""Look up known vulnerabilities of all locked packages: python build/audit.py.

Exits with 0 if there are none, and where the database cannot be reached, with a message that says so. Exits
with 1 for a find, and if some packages could not be looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / ".venv/audit/bin/pip-audit"
Report = list[dict[str, Any]]


class UnreachableError(Exception):
    """The database did not answer."""


def locks() -> list[Path]:
    """All locks, the smallest first: it shows whether the database can be reached."""
    found = [*(ROOT / "requirements").glob("*.txt"), ROOT / "layers/astro/requirements.txt"]
    return sorted(found, key=lambda path: path.stat().st_size)


def look_up(lock: Path) -> Report:
    """What pip-audit says to each package of a lock; raises UnreachableError, or RuntimeError."""
    options = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json")
    done = subprocess.run(
        [TOOL, *options, "--requirement", lock], capture_output=True, text=True, check=False, timeout=1800
    )
    try:
        report: Report = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError) as exc:
        lines = done.stderr.strip().splitlines()
        for line in lines:
            if "Could not connect" in line or line.startswith("requests.exceptions."):
                raise UnreachableError(line) from exc
        raise RuntimeError("\n".join([f"pip-audit of {lock.name} failed:", *lines])) from exc
    # A mirror of the index without the database answers "not found" to everything.
    if report and all("skip_reason" in each for each in report):
        raise UnreachableError(report[0]["skip_reason"])
    return report


def audit(paths: list[Path], look: Callable[[Path], Report] = look_up) -> tuple[int, list[str]]:
    """Exit code, and lines to print."""
    lines: dict[str, None] = {}
    for position, path in enumerate(paths):
        try:
            report = look(path)
        except UnreachableError as exc:
            if position:
                return 1, [*lines, f"{path.name}: the database answered before, and no longer does: {exc}"]
            return 0, [f"NOT AUDITED: the database of vulnerabilities cannot be reached from here ({exc})"]
        for each in report:
            if "skip_reason" in each:
                lines[f"{each['name']}: not audited: {each['skip_reason']}"] = None
            for find in each.get("vulns", []):
                mended = ", ".join(find["fix_versions"]) or "no version yet"
                lines[f"{each['name']} {each['version']}: {find['id']}, mended in {mended}"] = None
    return (1 if lines else 0), list(lines) or [f"no known vulnerability in {len(paths)} locks"]


def main() -> int | str:
    """The command; the exit status, or the message of what failed."""
    try:
        status, lines = audit(locks())
    except RuntimeError as exc:
        return f"audit: {exc}"
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
