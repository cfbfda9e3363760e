"""A long run through everything that can go wrong, and whether anything is lost or left behind.

    python benchmarks/soak [N] [--kills K] [--jobs J] [--events N] [--sender-kills K] [--seed S]

The local engine takes N small images, made in code: plain and compressed, in folders and in a stand-in for
S3 that fails one request in twelve, and one in a hundred that is none. The command line is killed K times
(SIGKILL, SIGTERM, SIGINT), each time followed by the same command or by `skyfan retry`; workers and their
children are killed and stopped, and cannot write for moments, as on a full disk.

The sender takes EVENTS files to a stand-in for Lambda through a network in which three of ten requests fail,
with a limit of cost, and is killed (SIGKILL) so often. Linux only.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "benchmarks")]

from soak import figures, local, sender  # noqa: E402


def local_soak(number: int, kills: int, seed: int, jobs: int) -> bool:
    """Prints the figures of the local engine; returns whether all is well."""
    with tempfile.TemporaryDirectory(prefix="skyfan-soak-") as folder:
        report = local.Soak(Path(folder), number, kills, seed, jobs).run()
    troubles = ", ".join(f"{name} {count}" for name, count in sorted(report.troubles.items()))
    calls = ", ".join(f"{name} {count}" for name, count in sorted(report.calls.items()))
    moments = ", ".join(f"{count} {moment}" for moment, count in sorted(report.moments.items()))
    print(f"The local engine, {number:,} images, {report.seconds:.0f} s, seed {seed}")
    print(f"troubles: {troubles}\ncalls: {calls}\nkills of the command line: {moments}")
    counts = {name: count for name, count in report.counts.items() if count}
    print(f"in the end: {counts}; {report.catalogs:,} catalogs, each as that of its copies, byte for byte")
    print(f"{report.balances} times between, the counts of `status` balanced and agreed with the folder")
    print(f"no process outlived its command line by more than {report.orphans_s:.1f} s")
    print("\n".join([figures.HEAD, *report.trends]))
    print("\n".join(report.broken) or "nothing lost, nothing left behind", flush=True)
    return not report.broken


def sender_soak(number: int, kills: int, seed: int) -> bool:
    """Prints the figures of the sender; returns whether all is well."""
    with tempfile.TemporaryDirectory(prefix="skyfan-soak-") as folder:
        report = sender.soak(Path(folder), number, kills, seed)
    faults = ", ".join(f"{name} {count}" for name, count in sorted(report.faults.items()))
    share = 1 - report.faults["passed"] / sum(report.faults.values())
    print(f"\nThe sender, {number:,} events, {report.seconds:.0f} s, seed {seed}")
    print(
        f"calls: {report.calls}, of which {report.kills} were killed; {share:.0%} of the requests had a fault"
    )
    print(f"requests: {faults}")
    print(f"in the end: { {name: count for name, count in report.counts.items() if count} }")
    print(f"accepted: {report.accepted:,}, so {report.accepted - number} too many ({report.twice} files)")
    print(f"the journal's limit of that, its requests without a known outcome: {report.bound}")
    for usd, limit in report.spent:
        print(f"accepted for at most {usd:.4f} USD, --max-cost {limit:.4f}")
    print("\n".join(report.broken) or "nothing lost, no limit exceeded", flush=True)
    return not report.broken


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/soak", description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=20_000, help="images; 0 for none")
    parser.add_argument("--kills", type=int, default=40, help="of the command line")
    parser.add_argument("--jobs", type=int, default=2, help="workers of the local engine")
    parser.add_argument("--events", type=int, default=5_000, help="of the sender; 0 for none")
    parser.add_argument("--sender-kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # A shell starts background commands with SIGINT ignored, which the command lines would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    is_well = True
    if options.number:
        is_well &= local_soak(options.number, options.kills, options.seed, options.jobs)
    if options.events:
        is_well &= sender_soak(options.events, options.sender_kills, options.seed)
    sys.exit(not is_well)


if __name__ == "__main__":
    main()
