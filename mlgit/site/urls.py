"""The URL of everything that has a page, spelled here and nowhere else.

A URL is a path below the site's root: ASCII letters, digits and `-._~/`, the same on
every file system, whatever a thing is called. It depends on what never changes (an id,
a hash, the name as stored), so a link to a page stays good.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urlencode

from mlgit.records import View

HOME = "index.html"
RUNS = "runs.html"
DELETED = "deleted.html"
ABOUT = "about.html"
LIVE = "live.html"  # this and its data only of `site serve`
LIVE_DATA = "live.js"
COMPARE = "compare.html"  # compare.html#runs=ID,ID: see site/compare.js
DATA = "data.html"
LOOKUP = "lookup.html"
DATA_CSV = "data/datasets.csv"
RUNS_DATA = "data/runs.js"
RUNS_CSV = "data/runs.csv"
CHARTS_DATA = "data/charts.js"
VEGA = "assets/vega.js"
MODELS = "models.html"
REGISTRY_DATA = "data/registry.js"
COMPARE_DATA = "data/compare.js"

_PLAIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,78}[a-z0-9])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # as file names on Windows


def slug(name: str) -> str:
    """Returns a name as part of a file name that no other name shares.

    Two names that differ only in case would be one file on macOS and Windows, so
    whatever is not plainly lower case gets a piece of its hash.

    >>> slug("nyc-taxi"), slug("Größe/客户")
    ('nyc-taxi', 'gr-e~3ff3b768df')
    """
    if _PLAIN.fullmatch(name) and not _RESERVED.fullmatch(name):
        return name
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")
    return f"{readable}~{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def experiment(stored: str) -> str:
    """Returns the page of an experiment, by the name that its runs store."""
    return f"experiments/{slug(stored)}.html"


def view(view: View) -> str:
    """Returns what a link to a view of an experiment's runs adds to the page: see site/table.js.

    >>> view(View(where="metrics.rmse < 7", columns=("name", "metrics.rmse")))
    '#where=metrics.rmse+%3C+7&cols=name%2Cmetrics.rmse'
    """
    state = {
        "where": view.where,
        "sort": view.sort,
        "cols": ",".join(view.columns),
        "pin": ",".join(view.pins),
        "group": view.group,
        "colour": view.colour,
        "part": view.part,
    }
    return "#" + urlencode({key: value for key, value in state.items() if value})


def experiment_data(stored: str) -> str:
    return f"data/experiments/{slug(stored)}.js"


def experiment_csv(stored: str) -> str:
    return f"data/experiments/{slug(stored)}.csv"


def run(run_id: str) -> str:
    return f"runs/{run_id}.html"


def comparison(*run_ids: str) -> str:
    """Returns the comparison of some runs; "@best" is the best of their experiment."""
    return f"{COMPARE}#runs={','.join(run_ids)}"


def report(path: str) -> str:
    """Returns the page of a report, by its path in the repository.

    >>> report("reports/2026-q3.md"), report("docs/Findings.md")
    ('reports/2026-q3.html', 'reports/docs-findings-md~91cd9f4aee.html')
    """
    return f"reports/{_report(path)}.html"


def report_data(path: str) -> str:
    return f"data/reports/{_report(path)}.js"


def _report(path: str) -> str:
    name = path.removeprefix("reports/").removesuffix(".md")
    is_plain = path == f"reports/{name}.md" and slug(name) == name
    return name if is_plain else slug(f"{path}/")  # with a piece of its hash, so no plain name


def code(tree: str) -> str:
    """Returns the page of a state of the code, by its git tree."""
    return f"code/{tree}.html"


def difference(old: str, new: str) -> str:
    """Returns the page of what changed from one git tree to another."""
    return f"code/{old}-{new}.html"


def code_data(tree: str) -> str:
    return f"data/code/{tree}.js"


def run_data(run_id: str) -> str:
    return f"data/runs/{run_id}.js"


def model(name: str) -> str:
    """Returns the page of a model, by the name that its git tags have."""
    return f"models/{slug(name)}.html"


def version(name: str, short: str) -> str:
    """Returns the page of a version, as in "v2" or "v2.1.0"."""
    return f"models/{slug(name)}/{slug(short)}.html"


def dataset(key: str) -> str:
    """Returns the page of a dataset's version, by its md5 or what identifies an address."""
    return f"data-sets/{slug(key)}.html"


def dataset_runs(key: str) -> str:
    """Returns the table of the runs that used or made it."""
    return f"data/data-sets/{slug(key)}.csv"


def dataset_profile(key: str) -> str:
    return f"data/data-sets/{slug(key)}.json"


def lookup(shard: str) -> str:
    """Returns the data of the look-up of hashes that begin so."""
    return f"data/lookup/{shard}.js"


def environment_data(digest: str) -> str:
    return f"data/environments/{digest}.js"


def chart_data(md5: str) -> str:
    return f"data/charts/{md5}.js"


def file(md5: str, suffix: str) -> str:
    """Returns where an artifact's bytes lie; the suffix is ours, not that of its name."""
    return f"files/{md5}.{suffix}"


def asset(name: str) -> str:
    return f"assets/{name}"


def root_of(url: str) -> str:
    """Returns the way from a page to the site's root: "", "../", …

    >>> root_of("index.html"), root_of("runs/x.html")
    ('', '../')
    """
    return "../" * url.count("/")
