"""Charts as SVG files of their own: `skyfan costs --plot` and `skyfan plan --footprints`."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc

from .. import files, formatting
from ..bill.show import Costs
from ..errors import InputError
from ..plans.plan import Plan
from ..sky.footprints import NO_FOOTPRINTS, FootprintCollector
from . import charts, section_costs
from .charts import WIDTH, Chart
from .html import Markup, tag
from .maps import sky_charts

_MARGIN, _GAP, _TITLE, _HEADING, _LINE = 24, 32, 64, 26, 16
# The mean width of a letter in captions, on the safe side.
_LETTER = 6.4
_PAGE_WIDTH = 2 * WIDTH + _GAP + 2 * _MARGIN


def costs_figure(costs: Costs) -> str:
    """The bill as a standalone SVG: durations, memory, concurrency and cost by part."""
    bill = costs.bill
    title = (
        f"{f'Run {costs.run}' if costs.run else 'Log files'}: "
        f"{formatting.count(bill.invocations, 'invocation')}, "
        f"{formatting.count(bill.images, 'image')}, {formatting.usd(bill.usd)}"
    )
    records = costs.records
    return sheet(
        title,
        [
            section_costs.durations(records),
            section_costs.memory(records),
            section_costs.concurrency(bill),
            section_costs.parts(bill),
        ],
    )


def footprints_figure(plan: Plan) -> str:
    """The positions of a plan's files as a standalone SVG: the whole sky and the fields with the most images.

    Raises InputError for a plan whose files have no positions, such as files named by path.
    """
    sky = FootprintCollector()
    table = plan.table()
    sky.add(table.filter(pc.is_null(table["dropped"])))
    planned = sky.finish()
    if not len(planned):
        raise InputError(
            f"{plan.path} has no file with a position on the sky: there are no footprints to draw"
        )
    whole, *fields = sky_charts(planned, NO_FOOTPRINTS)
    title = f"{plan.path.name}: {formatting.count(len(planned), 'image')}"
    return sheet(title, fields, above=whole)


def sheet(title: str, below: Sequence[Chart], above: Chart | None = None) -> str:
    """An SVG document of charts, two in a row, under a title; `above` is a chart of the whole width."""
    rows: list[list[_Panel]] = []
    if above:
        rows.append([_Panel(above, _PAGE_WIDTH - 2 * _MARGIN, "all-sky")])
    rows += [[_Panel(chart, WIDTH) for chart in below[n : n + 2]] for n in range(0, len(below), 2)]
    top, panels = float(_TITLE), []
    for row in rows:
        panels += [panel.at(_MARGIN + number * (WIDTH + _GAP), top) for number, panel in enumerate(row)]
        top += max(panel.total for panel in row) + _GAP
    height = f"{top:g}"
    document = tag(
        "svg",
        tag("title", title),
        tag("style", Markup(charts.STYLE.read_text(encoding="utf-8"))),
        charts.PATTERNS,
        tag("rect", width=_PAGE_WIDTH, height=height, class_="page"),
        tag("text", title, x=_MARGIN, y=40, class_="title"),
        panels,
        xmlns="http://www.w3.org/2000/svg",
        width=_PAGE_WIDTH,
        height=height,
        viewBox=f"0 0 {_PAGE_WIDTH} {height}",
    )
    return f"{document}\n"


def write(path: Path, svg: str) -> None:
    """Writes an SVG document, whole or not at all. Raises UsageError if it cannot be written."""
    with files.replace(path) as part:
        part.write_text(svg, encoding="utf-8")


class _Panel:
    """A chart with its title above and its summary below."""

    def __init__(self, chart: Chart, width: float, class_: str | None = None) -> None:
        self._chart, self._width, self._class = chart, width, class_
        self._height = chart.height * width / WIDTH
        self._lines = textwrap.wrap(chart.summary, int(width / _LETTER))
        self.total = _HEADING + self._height + (len(self._lines) + 0.5) * _LINE

    def at(self, left: float, top: float) -> Markup:
        """Everything, with its upper left corner there."""
        middle = top + _HEADING
        box = {"x": left, "y": f"{middle:g}", "width": f"{self._width:g}", "height": f"{self._height:g}"}
        below = [
            tag("text", line, x=left, y=f"{middle + self._height + number * _LINE:g}", class_="caption")
            for number, line in enumerate(self._lines, 1)
        ]
        heading = tag("text", self._chart.title, x=left, y=f"{top + 16:g}", class_="heading")
        return tag("g", heading, tag("svg", self._chart.svg, **box, class_=self._class), below)
