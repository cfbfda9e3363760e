"""How many workers this machine can hold: by its CPUs, the quota of a container, and the available memory."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
# cgroup v1 says "no limit" with a number near 2**63.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Capacity:
    """What this process may use of the machine."""

    cpus: int
    """On Linux fewer than the machine has if the affinity is restricted."""
    quota: float | None
    """CPUs that the cgroup may use; None without a quota."""
    memory_mb: float
    """Available memory in MB (2**20 bytes)."""

    @classmethod
    def now(cls) -> "Capacity":
        """The capacity at this moment. Of nested cgroups the tightest limit counts."""
        cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        groups = list(_groups())
        quotas = [quota for group in groups if (quota := _quota(group)) is not None]
        free = [free for group in groups if (free := _free(group)) is not None]
        available = min([psutil.virtual_memory().available, *free])
        return cls(cpus, min(quotas, default=None), available / 2**20)

    def jobs(self, memory_mb: float) -> int:
        """Number of workers, at least 1, if each may use `memory_mb`."""
        return max(1, int(min(self.cpus, self.quota or self.cpus, self.memory_mb // memory_mb)))

    def note(self, memory_mb: float) -> str:
        """One line that says why there are fewer workers than CPUs; empty if there are not."""
        if (jobs := self.jobs(memory_mb)) >= self.cpus:
            return ""
        reason = (
            f"{self.memory_mb:.0f} MB of memory are available, and each worker may use {memory_mb:.0f} MB"
        )
        if self.quota and self.quota < self.memory_mb // memory_mb:
            reason = f"the CPU quota of this container is {self.quota:.3g}"
        return f"{jobs} of {self.cpus} CPUs in use: {reason}. --jobs sets another number."


def _groups() -> Iterator[Path]:
    """Folders of the cgroups of this process and of their parents, for every controller."""
    try:
        lines = MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        for controller in controllers.split(","):
            path = Path(name)
            # In a container the name may be one of the host's; then the root is the container's own cgroup.
            for part in (path, *path.parents):
                yield CGROUPS / controller / str(part).lstrip("/")


def _quota(group: Path) -> float | None:
    """CPUs that this cgroup may use."""
    quota, _, period = _read(group / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _free(group: Path) -> int | None:
    """Bytes that this cgroup may still use; the kernel takes back its cache of files when it needs memory."""
    limit, used, cache = "memory.max", "memory.current", "inactive_file "
    if not (group / limit).exists():
        limit, used, cache = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "
    most, current = _read(group / limit), _read(group / used)
    if not (most.isdigit() and current.isdigit()) or int(most) >= _NO_LIMIT:
        return None
    lines = _read(group / "memory.stat").splitlines()
    idle = sum(int(line.removeprefix(cache)) for line in lines if line.startswith(cache))
    return max(0, int(most) - int(current) + idle)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
