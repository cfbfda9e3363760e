"""The command line: parses and prints, nothing else. One file a command."""

import click

from .cancel import cancel
from .collect import collect
from .common import Group
from .completion import completion
from .costs import costs
from .plan import plan
from .report import report
from .retry import retry
from .run import run
from .runs import runs
from .search import search
from .show import show
from .status import status


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="skyfan")
def main() -> None:
    """Source extraction fanned out over a sky archive."""


for _command in (plan, run, collect, search, show, status, runs, retry, cancel, completion, report, costs):
    main.add_command(_command)
