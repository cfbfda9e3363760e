"""What a run on AWS came to, for people."""

from rich.console import Console

from .outcome import Outcome

_NEXT = {
    "failed": "`skyfan retry {run}` sends failed and missing files again.",
    "late": "`skyfan status {run}` tells when late files have come.",
}


def show(console: Console, outcome: Outcome, *, interrupted: bool) -> None:
    """Prints what was sent, where the run stands, and what went wrong."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say(_sent(outcome))
    if outcome.state:
        counts = outcome.state.counts
        parts = [f"{count} {name}" for name, count in reversed(counts.items()) if count and name != "planned"]
        say(f"run {outcome.run} has {_files(counts['planned'])}: {', '.join(parts)}")
    say(f"results: {outcome.place}/runs/{outcome.run}/")
    groups = outcome.state.groups() if outcome.state else []
    if groups:
        say("\nFailures:")
    for group in groups:
        say(f"  {group.count} x {group.error_type}, for example {group.input}")
        say(f"      {group.message}\n      {group.record}")
    say("")
    if interrupted:
        say("Stopped; what was sent goes on in Lambda. The same command goes on from here.")
    elif outcome.stopped:
        left = f"; {_files(outcome.left)} left" if outcome.left else ""
        say(f"Stopped: {outcome.stopped}{left}. The same command goes on from here.")
    elif outcome.state is None:
        say(f"`skyfan status {outcome.run}` tells what comes of it.")
    else:
        counts = outcome.state.counts
        if counts["failed"] or counts["missing"] or counts["cancelled"]:
            say(_NEXT["failed"].format(run=outcome.run))
        if counts["late"]:
            say(_NEXT["late"].format(run=outcome.run))


def _sent(outcome: Outcome) -> str:
    parts = [f"{outcome.sent} sent"]
    if outcome.send_s and outcome.sent:
        parts[0] += f" in {outcome.send_s:.1f} s"
    if outcome.sent_before:
        parts.append(f"{outcome.sent_before} sent before")
    if outcome.done_before:
        parts.append(f"{outcome.done_before} done before")
    counts = outcome.counts
    met = (
        [(counts.throttled, "throttled"), (counts.errors, "errors"), (counts.broken, "broken connections")]
        if counts
        else []
    )
    again = ", ".join(f"{number} {name}" for number, name in met if number)
    return f"{_files(outcome.files)}: {', '.join(parts)}" + (f" (on the way: {again})" if again else "")


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"
