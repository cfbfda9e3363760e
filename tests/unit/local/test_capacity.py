"""How many workers a machine or a container can hold."""

from pathlib import Path

import pytest

from skyfan.local import capacity
from skyfan.local.capacity import Capacity

MB = 2**20


@pytest.mark.parametrize(
    ("machine", "jobs"),
    [
        (Capacity(8, None, 64000), 8),
        (Capacity(8, None, 6000), 3),
        (Capacity(8, None, 100), 1),
        (Capacity(8, 2.5, 64000), 2),
        (Capacity(8, 0.5, 64000), 1),
        (Capacity(2, 16.0, 64000), 2),
        (Capacity(8, 4.0, 3600), 2),
    ],
)
def test_the_scarcest_decides(machine: Capacity, jobs: int) -> None:
    assert machine.jobs(1769) == jobs
    assert bool(machine.note(1769)) == (jobs < machine.cpus)


def test_the_note_names_what_is_scarce() -> None:
    assert "3 of 8 CPUs" in Capacity(8, None, 6000).note(1769)
    assert "6000 MB" in Capacity(8, 7.0, 6000).note(1769)
    assert "quota" in Capacity(8, 2.5, 64000).note(1769)
    assert "MB" not in Capacity(8, 2.5, 64000).note(1769)


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without cgroups; tests write their files."""
    monkeypatch.setattr(capacity, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(capacity, "MEMBERSHIP", tmp_path / "self")
    monkeypatch.setattr(capacity.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(capacity.sys, "platform", "linux")
    return tmp_path


def write(root: Path, membership: str, **files: str) -> None:
    (root / "self").write_text(membership)
    for name, text in files.items():
        path = root / "fs" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_without_cgroups(cgroups: Path) -> None:
    machine = Capacity.now()
    assert (machine.cpus, machine.quota) == (64, None)
    assert machine.memory_mb > 0


def test_the_tightest_of_nested_groups_counts(cgroups: Path) -> None:
    write(
        cgroups,
        "0::/user/job\n",
        user__cpu_dot_max="150000 100000\n",
        user__job__cpu_dot_max="max 100000\n",
        user__memory_dot_max=f"{30 * MB}\n",
        user__memory_dot_current=f"{25 * MB}\n",
        user__memory_dot_stat=f"anon 5\ninactive_file {3 * MB}\n",
        user__job__memory_dot_max="max\n",
        user__job__memory_dot_current=f"{9 * MB}\n",
    )
    assert Capacity.now() == Capacity(64, 1.5, 8.0)


def test_a_container_of_cgroup_v1_has_its_limits_at_the_root(cgroups: Path) -> None:
    write(
        cgroups,
        "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n",
        cpu__cpu_dot_cfs_quota_us="200000\n",
        cpu__cpu_dot_cfs_period_us="100000\n",
        memory__memory_dot_limit_in_bytes=f"{40 * MB}\n",
        memory__memory_dot_usage_in_bytes=f"{30 * MB}\n",
        memory__memory_dot_stat=f"total_inactive_file {6 * MB}\n",
    )
    assert Capacity.now() == Capacity(64, 2.0, 16.0)


def test_no_limit_in_cgroup_v1(cgroups: Path) -> None:
    write(
        cgroups,
        "4:memory:/\n2:cpu:/\n",
        cpu__cpu_dot_cfs_quota_us="-1\n",
        cpu__cpu_dot_cfs_period_us="100000\n",
        memory__memory_dot_limit_in_bytes="9223372036854771712\n",
        memory__memory_dot_usage_in_bytes="1\n",
    )
    assert Capacity.now().quota is None
    assert Capacity.now().memory_mb > 100
