"""`mlgit completion`: the shell's Tab key."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(
    "completion",
    epilog="""\b
Examples:
  mlgit completion bash >> ~/.bashrc
  mlgit completion zsh >> ~/.zshrc
  mlgit completion fish > ~/.config/fish/completions/mlgit.fish""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print a script for your shell's Tab key.

    It completes commands, options, and the names of runs, experiments and remotes.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root().command
    click.echo(kind(root, {}, "mlgit", "_MLGIT_COMPLETE").source())
