"""A bill for people."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from .. import words
from .costs import Bill
from .figures import Concurrency

if TYPE_CHECKING:
    from .statement import Costs

_BARS = " ▁▂▃▄▅▆▇█"
_NAMES = {
    "duration_ms": "duration, s",
    "billed_ms": "billed, s",
    "init_ms": "cold start, s",
    "used_mb": "memory used, MB",
}


def show(console: Console, costs: "Costs") -> None:
    """Prints all of it: lines, counts, what was lost, percentiles, and what was asked beside."""

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    bill = costs.bill
    console.print(_lines(bill))
    free = "with" if bill.free_tier else "without"
    say(
        f"{words.usd(bill.usd)} in {bill.region}, {free} free tier, model {bill.model}, "
        f"{costs.prices.source} of {costs.prices.collected}"
    )
    if costs.own_machine:
        say("It ran on your own machine, for nothing: Lambda would have charged this, were it as fast")
    for name, other in costs.others.items():
        say(f"{words.usd(other.usd)} for the same work under the model {name}")
    say(_each(bill))
    say("")
    say(_counts(bill))
    if bill.rebilled:
        say(f"{bill.rebilled} were billed by another rule in the log; here all are by the model's.")
    lost = bill.waste
    say(
        f"For nothing: failures {words.usd(lost.failures)}, time-outs {words.usd(lost.timeouts)}, "
        f"cold starts {words.usd(lost.cold_starts)}"
    )
    for failure in bill.failures:
        say(f"  {failure.count} x {failure.kind}: {words.usd(failure.usd)}")
    if bill.failed_starts:
        say(f"  {bill.failed_starts} starts failed (INIT_REPORT): the log says nothing of their bill")
    if bill.percentiles:
        console.print(_percentiles(bill))
    if bill.concurrency:
        say(_running(bill.concurrency))
    if costs.estimate:
        low, high = words.usd(costs.estimate.usd_low), words.usd(costs.estimate.usd_high)
        say(
            f"The plan of {costs.estimate.files} files was expected to cost {low} to {high} on Lambda; "
            f"{bill.images} are done for {words.usd(bill.usd)}."
        )
    _asked(say, costs)
    if bill.unparsed:
        say(f"\n{bill.unparsed} lines look like reports and could not be read; they are not in the bill:")
        for example in bill.examples:
            say(f"  {example}")


def _asked(say: object, costs: "Costs") -> None:
    assert callable(say)
    if other := costs.what_if:
        say(f"\nWhat if: {words.usd(other.usd)} for {other.files} files")
        for said in other.assumptions:
            say(f"  {said}")
    if advice := costs.advice:
        say(f"\nUse {advice.memory_mb} MB: {advice.why}")
        say(f"  {advice.sure}")
        for size in advice.sizes:
            how = f"{size.measured} measured" if size.measured else "by the share of a CPU"
            thousand = words.usd(size.usd_per_image * 1000)
            say(f"  {size.memory_mb:>6} MB  {size.seconds:8.2f} s  {thousand:>8} USD a thousand  ({how})")


def _lines(bill: Bill) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, side in (("part", "left"), ("quantity", "right"), ("USD", "right"), ("rule", "left")):
        table.add_column(name, justify="left" if side == "left" else "right", no_wrap=name != "rule")
    for line in bill.charges.lines:
        table.add_row(line.name, f"{line.quantity:,.6g} {line.unit}", f"{line.usd:.7f}", line.rule)
    table.add_section()
    table.add_row("total", "", f"{bill.usd:.7f}", "")
    return table


def _percentiles(bill: Bill) -> Table:
    columns = list(next(iter(bill.percentiles.values())))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for name, values in bill.percentiles.items():
        scale, digits = (1, 0) if name == "used_mb" else (1000, 2)
        table.add_row(_NAMES[name], *(f"{values[column] / scale:,.{digits}f}" for column in columns))
    return table


def _each(bill: Bill) -> str:
    if bill.usd_per_image is None:
        return "no image was done"
    found = (
        f"{words.usd(bill.usd_per_image)} an image, {words.usd(bill.usd_per_image * 1000)} a thousand images"
    )
    if bill.usd_per_source is not None:
        found += f", {words.usd(bill.usd_per_source * 1e6)} a million sources"
    return found


def _counts(bill: Bill) -> str:
    parts = [f"{bill.invocations} invocations", f"{bill.images} images done"]
    if bill.sources is not None:
        parts.append(f"{bill.sources} sources")
    failed = sum(failure.count for failure in bill.failures)
    parts += [f"{bill.retries} retries", f"{failed} failed", f"{bill.cold_starts} cold starts"]
    return ", ".join(parts)


def _running(found: Concurrency) -> str:
    most = max((value for _, value in found.points), default=0.0) or 1.0
    bars = "".join(_BARS[round(value / most * (len(_BARS) - 1))] for _, value in found.points)
    return f"at once: {found.peak} at most, over {found.ended - found.began:,.1f} s  |{bars}|"
