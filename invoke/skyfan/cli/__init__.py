"""The command line: parses and prints, nothing else. One file per command or pair."""

import click
from click.shell_completion import get_completion_class

from .collect import collect
from .common import Group
from .completeness import completeness
from .costs import costs
from .demo import demo, doctor
from .fetch import fetch
from .match import check, match
from .plan import plan
from .report import report, show
from .retry import retry
from .run import run
from .search import search, send
from .stack import deploy, new_function, stack
from .status import cancel, runs, status
from .watch import watch


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="skyfan")
def main() -> None:
    """Source extraction fanned out over a sky archive."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, *, shell: str) -> None:
    """Print the script that completes commands, options and runs.

    A script for the shell is no document, so this is the one command without --json.

    \b
    bash: add to ~/.bashrc                    eval "$(skyfan completion bash)"
    zsh:  add to ~/.zshrc                     eval "$(skyfan completion zsh)"
    fish: add to ~/.config/fish/config.fish   skyfan completion fish | source
    """
    completion_class = get_completion_class(shell)
    assert completion_class is not None, "click knows all three shells"
    click.echo(completion_class(ctx.find_root().command, {}, "skyfan", "_SKYFAN_COMPLETE").source())


# In the order of a run's story, which is that of --help and of the documentation.
for _command in (
    *(plan, fetch, run, status, retry, cancel, watch, collect, search, match, check, completeness),
    *(send, costs, report, show, runs),
    *(deploy, stack, new_function, demo, doctor, completion),
):
    main.add_command(_command)
