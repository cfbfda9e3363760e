"""skyfan completion."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, *, shell: str) -> None:
    """Print what makes SHELL complete skyfan's commands, options and runs.

    \b
    bash: add to ~/.bashrc                    eval "$(skyfan completion bash)"
    zsh:  add to ~/.zshrc                     eval "$(skyfan completion zsh)"
    fish: add to ~/.config/fish/config.fish   skyfan completion fish | source
    """
    made = get_completion_class(shell)
    assert made is not None, "click knows the three"
    click.echo(made(ctx.find_root().command, {}, "skyfan", "_SKYFAN_COMPLETE").source())
