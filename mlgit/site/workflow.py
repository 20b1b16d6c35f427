"""Ready files for those whose host builds the site itself: GitHub Actions, GitLab CI. Pure."""

from __future__ import annotations

import json
import re
import shlex

from mlgit import __version__
from mlgit.site.choice import Choice

PLACES = {"github": ".github/workflows/mlgit-site.yml", "gitlab": ".gitlab-ci.yml"}
"""Where each host looks for its file."""

_SAID = """\
# Builds the site of the runs on the branch {branch} and publishes it.
# Made by `mlgit site publish --workflow {host}`; change it as you like.
#
# A push to the branch of runs starts nothing: the host looks for this file on the branch that
# was pushed. So it is built by the clock, by hand, and when the code changes. Large artifacts
# are shown if they are on the machine that builds: add `mlgit data pull` and its credentials.
# {once}
"""

_ONCE = {
    "github": "To be set once on GitHub: Settings, Pages, Source: GitHub Actions.",
    "gitlab": "To be set once on GitLab, for the clock: Build, Pipeline schedules.",
}

_GITHUB = """\
name: mlgit site

on:
  schedule:
    - cron: "17 * * * *"
  workflow_dispatch:
  push:
    branches-ignore: [{quoted_branch}, gh-pages]

permissions:
  contents: read

concurrency:
  group: pages
  cancel-in-progress: false

jobs:
  build:
    if: github.event_name != 'push' || github.ref_name == github.event.repository.default_branch
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0
      - name: Fetch runs and registry
        run: {fetch}
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: {install}
      - run: {build}
      - uses: actions/upload-pages-artifact@v3
        with:
          path: _site
  deploy:
    needs: build
    runs-on: ubuntu-latest
    permissions:
      pages: write
      id-token: write
    environment:
      name: github-pages
      url: ${{{{ steps.deployment.outputs.page_url }}}}
    steps:
      - id: deployment
        uses: actions/deploy-pages@v4
"""

_GITLAB = """\
pages:
  image: python:3.12
  variables:
    GIT_DEPTH: "0"
  script:
    - {fetch}
    - {install}
    - {build}
  artifacts:
    paths:
      - public
  rules:
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH
"""


def workflow(host: str, branch: str, choice: Choice, redact: bool) -> str:
    """Returns the file for "github" or "gitlab"; `branch` is that of the ledger."""
    template, out = {"github": (_GITHUB, "_site"), "gitlab": (_GITLAB, "public")}[host]
    ref, tags = f"+refs/heads/{branch}:refs/remotes/origin/{branch}", "+refs/tags/*:refs/tags/*"
    commands = {
        "fetch": ["git", "fetch", "--no-tags", "origin", ref, tags],
        "install": ["pip", "install", _requirement()],
        "build": ["mlgit", "site", "build", "--out", out, *_options(choice, redact)],
    }
    written = {name: _quoted(shlex.join(words)) for name, words in commands.items()}
    said = _SAID.format(branch=branch, host=host, once=_ONCE[host])
    return said + template.format(quoted_branch=_quoted(branch), **written)


def _quoted(text: str) -> str:
    r"""Returns a text as YAML, in ASCII.

    It is that of JSON, but for what JSON writes as two halves, which YAML does not take.

    >>> print(_quoted('"größe" 🚕'))
    "\"gr\U000000f6\U000000dfe\" \U0001f695"
    """
    written = json.dumps(text, ensure_ascii=False)
    return re.sub("[^ -~]", lambda match: f"\\U{ord(match[0]):08x}", written)


def _requirement() -> str:
    """Returns what pip installs: the version that is running, if it is a released one."""
    is_released = re.fullmatch(r"\d+(\.\d+)*", __version__)
    return f"mlgit[site]=={__version__}" if is_released else "mlgit[site]"


def _options(choice: Choice, redact: bool) -> list[str]:
    found = ["--redact"] if redact else []
    found += ["--title", choice.title] if choice.title else []
    found += ["--since", choice.since] if choice.since else []
    for name in choice.experiments:
        found += ["--experiment", name]
    return found if choice.artifacts else [*found, "--no-artifacts"]
