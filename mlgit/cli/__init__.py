"""The command line: one file per noun, each command three steps: parse, call, print.

Commands are imported when they are run, so that `mlgit log` does not pay for
`mlgit push`. stdout is data, stderr is talk. Exit codes: 0 done, 1 an error that
`Error:` and `Hint:` explain, 2 wrong usage, 130 Ctrl-C.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
import warnings
from typing import IO, Any

import click

from mlgit import __version__
from mlgit.cli.lazy import Lazy
from mlgit.errors import MlgitError, MlgitWarning

# Where each command lives: name -> module of this package, in the order of --help.
_COMMANDS = {
    "init": "init",
    "log": "log",
    "show": "show",
    "diff": "diff",
    "lineage": "lineage",
    "verify": "verify",
    "reproduce": "reproduce",
    "artifacts": "artifacts",
    "data": "data",
    "note": "facts",
    "tag": "facts",
    "rename": "facts",
    "rm": "facts",
    "restore": "facts",
    "experiment": "experiment",
    "view": "view",
    "model": "model",
    "site": "site",
    "push": "share",
    "pull": "share",
    "sync": "share",
    "remote": "remote",
    "pin": "pin",
    "recover": "recover",
    "doctor": "doctor",
    "gc": "gc",
    "completion": "completion",
}


class _Shown(click.ClickException):
    """An MlgitError on its way to the terminal."""

    def __init__(self, error: MlgitError) -> None:
        super().__init__(error.message)
        self.hint = error.hint

    def show(self, file: IO[Any] | None = None) -> None:
        # A message may quote what others wrote into the ledger, or what their server says.
        from mlgit.cli.output import clean_block

        click.echo(f"Error: {clean_block(self.message)}", err=True)
        if self.hint:
            click.echo(f"Hint: {clean_block(self.hint)}", err=True)


class _Top(Lazy):
    """Tells of errors, warnings and dead runs, whatever the command."""

    def invoke(self, ctx: click.Context) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("always", MlgitWarning)
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except MlgitError as error:
                raise _Shown(error) from error
            except (KeyboardInterrupt, click.Abort) as error:
                click.echo(" ".join(["\nStopped.", *(f"{told}." for told in error.args)]), err=True)
                ctx.exit(130)
            finally:
                if ctx.obj and ctx.invoked_subcommand not in ("recover", "doctor"):
                    _offer_recovery(ctx.obj)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    from mlgit.cli.output import warn

    warn(str(message))


def _offer_recovery(repository: Any) -> None:
    """Says on stderr that there are dead runs to save."""
    from mlgit.cli.place import has_journals

    with contextlib.suppress(MlgitError, OSError):
        if not has_journals(repository):
            return
        from mlgit.tracking.finish import dead_runs

        if dead := len(dead_runs(repository.common_dir)):
            runs = "run" if dead == 1 else "runs"
            click.echo(f"{dead} {runs} ended without being saved; save: mlgit recover", err=True)


@click.group(
    cls=_Top,
    modules=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Runs are committed to the branch 'mlgit' of this git repository; your working tree
and index are never touched. How to log them: python -c 'import mlgit; help(mlgit)'""",
)
@click.option("-C", "folder", metavar="FOLDER", help="Work as if started in FOLDER.")
@click.version_option(__version__, prog_name="mlgit", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, folder: str | None) -> None:
    """Experiment tracking inside the git repository: no server, no database, no account."""
    if os.environ.get("NO_COLOR"):  # https://no-color.org
        ctx.color = False
    if folder:
        try:
            os.chdir(folder)
        except OSError as error:
            raise click.UsageError(f"cannot enter {folder}: {error.strerror}") from error


def main() -> None:
    """The entry point of the program `mlgit`."""
    # A command makes many small things at once and ends; collecting among them every 700
    # takes a third of the time it runs.
    gc.set_threshold(100_000, 20, 20)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name need not fit the locale
    cli.main(prog_name="mlgit")
