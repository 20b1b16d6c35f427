"""Sessions at a terminal, kept as text: run again, and compared with what they say.

In a golden file or a ```console block of the documentation a line that begins with `$ ` is a
command, and what follows is what it printed, stdout and stderr as they came, then the exit code
in brackets if it is not 0. `mlgit` runs in this process, everything else for real.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from click.testing import CliRunner

from mlgit.cli import cli

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run(text: str, replace: Mapping[str, str]) -> str:
    """Returns the session with the output that its commands have now, in the working directory.

    `replace` are texts that differ from machine to machine, and what stands for them.
    """
    here = os.getcwd()
    shown = []
    for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        output, code = _run(command)
        os.chdir(here)  # `mlgit -C` leaves
        for found, instead in replace.items():
            output = output.replace(found, instead)
        output += "\n" * (output[-1:] not in ("", "\n"))
        shown.append(f"$ {command}\n{output}" + (f"[{code}]\n" if code else ""))
    return "".join(shown)


def run_blocks(markdown: str, replace: Mapping[str, str]) -> str:
    """Returns the page with the output that the commands of its console blocks have now."""

    assert not re.search(r"^[ ]+```console", markdown, re.MULTILINE), "it would not be run"

    def block(match: re.Match[str]) -> str:
        return f"```console\n{run(match[1], replace)}```"

    return _BLOCK.sub(block, markdown)


def _run(command: str) -> tuple[str, int]:
    program, *arguments = shlex.split(command, comments=True)
    if program == "mlgit" and not {"--code", "|", ">"} & {*arguments}:
        done = CliRunner().invoke(cli, arguments, prog_name="mlgit")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.output, done.exit_code
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    real = subprocess.run(
        command,
        shell=True,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return real.stdout, real.returncode
