"""Measures mlgit beside MLflow, DVC and bare git; `make bench` runs it.

One process after the other, in turns, so that whatever else the machine does meets all of
them alike: medians, quartiles and ratios of one run of this program. The table goes to
stdout, talk to stderr. Nothing uses the network.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import PYTHON, Bench, Failed, Others, environment, git, scratch_folder
from report import Line, plain, table
from rows import ROWS

PEERS = ("mlflow", "dvc", "gitdb")


def main() -> int:
    args = _arguments()
    started = time.monotonic()
    lines: list[Line] = []
    with scratch_folder(args.keep) as scratch:
        os.environ.clear()
        os.environ.update(environment(scratch / "home"))
        machine = state()
        bench = Bench(args.quick, scratch)
        others, all_others = Others(), Others()
        machine["bare_python_ms"] = [_bare_python(bench)]
        for name in args.only or ROWS:
            minutes = (time.monotonic() - started) / 60
            print(
                f"{name}: {ROWS[name].__doc__.strip()} ({minutes:.1f} min so far)", file=sys.stderr
            )
            try:
                for line in ROWS[name].rows(bench):
                    line.others = others.share()
                    bench.say(plain(line))
                    lines.append(line)
            except (Failed, OSError, subprocess.SubprocessError) as error:
                bench.missing[f"the rest of {name!r}"] = str(error)
                bench.say(str(error))
                bench.say(bench.last_error())
        machine["bare_python_ms"].append(_bare_python(bench))
        machine["others"] = all_others.share()
    machine["minutes"] = round((time.monotonic() - started) / 60, 1)
    print(page(machine, lines, bench.missing))
    if args.json:
        document = {
            "machine": machine,
            "lines": [line.document() for line in lines],
            "missing": bench.missing,
        }
        args.json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return 1 if any(name.startswith("the rest") for name in bench.missing) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="three minutes: ledgers of 10,000 runs at most"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values there too")
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROWS", help=", ".join(ROWS))
    parser.add_argument("--keep", action="store_true", help="leave the scratch folder there")
    args = parser.parse_args()
    args.json = args.json.absolute() if args.json else None
    return args


def state() -> dict[str, Any]:
    """Returns what the numbers depend on."""
    here = Path(__file__).parent
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "git": git(here, "--version").removeprefix("git version "),
        "mlgit": git(here, "describe", "--always", "--dirty", "--abbrev=10"),
        **{name: _version(name) for name in PEERS},
    }


def _bare_python(bench: Bench) -> float:
    """Returns the milliseconds in which Python starts and ends: how busy the machine is."""
    seconds = (bench.wall(bench.scratch, PYTHON, "-c", "pass") for _ in range(9))
    return round(1000 * statistics.median(seconds), 1)


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        return text.partition("model name")[2].partition("\n")[0].strip("\t :")
    except OSError:
        return platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def page(machine: dict[str, Any], lines: Sequence[Line], missing: dict[str, str]) -> str:
    """Returns the report in Markdown."""
    busy = machine["bare_python_ms"]
    about = (
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB, "
        f"{machine['system']}; Python {machine['python']}, git {machine['git']}; "
        f"mlgit {machine['mlgit']}, MLflow {machine['mlflow']}, DVC {machine['dvc']}; "
        f"{machine['minutes']} minutes; other programs had {machine['others'] or 0:.0%} of the "
        f"cores, and `python -c pass` took {busy[0]} ms before and {busy[1]} ms after."
    )
    text = f"{about}\n\n{table(lines)}\n"
    verdicts = [line.met for line in lines if line.met is not None]
    text += f"\n{sum(verdicts)} of {len(verdicts)} targets met.\n"
    for name, reason in missing.items():
        text += f"\nNot run: {name}: {reason}\n"
    return text


if __name__ == "__main__":
    sys.exit(main())
