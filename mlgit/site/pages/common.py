"""What pages have in common: keys, the data scripts, people, links to runs."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from mlgit.ledger.pointers import identity
from mlgit.records import Pointer
from mlgit.site import render, resources, urls
from mlgit.site.gather import Site


def key(*inputs: Any) -> str:
    """Returns a digest of what a unit depends on: JSON values, and what makes all pages."""
    digest = hashlib.sha256(resources.maker().encode())
    digest.update(msgspec.json.encode(inputs))
    return digest.hexdigest()[:32]


def page(site: Site, template: str, url: str, title: str, **context: Any) -> tuple[str, bytes]:
    """Returns a page's URL and bytes."""
    content = render.page(template, url, site=site, title=title, **context)
    return url, content


def script(name: str, content: bytes) -> bytes:
    """Returns JSON as a script, the only way a page opened from a folder can load data.

    The first line is ours, the second the JSON as a JavaScript string, which browsers read
    faster than an object that is spelled out.
    """
    text = content.decode(errors="replace")
    text = text.replace("\\", "\\\\").replace("'", "\\'")
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f"mlgit.put({msgspec.json.encode(name).decode()},\n'{text}');\n".encode()


def run_url(site: Site, text: str) -> str | None:
    """Returns where the run with this id, or beginning of one, is from a page in a folder."""
    row = site.find(text)
    return None if row is None else f"../{urls.run(site.table.ids[row])}"


def data_url(site: Site, pointer: Pointer) -> str | None:
    """Returns the page of a content, if it has one: what a run used has."""
    content = site.flow.contents.get(identity(pointer) or "")
    return urls.dataset(content.hash) if content and content.is_dataset else None


class RunLink(NamedTuple):
    """A run as other pages mention it."""

    id: str
    label: str
    experiment: str
    status: str
    started: str
    url: str
    user: str
    duration: float | None


def link(site: Site, row: int) -> RunLink:
    every = site.table.attributes
    return RunLink(
        id=site.table.ids[row],
        label=site.label(row),
        experiment=site.experiment(row).title,
        status=every["status"][row],
        started=every["started"][row],
        url=urls.run(site.table.ids[row]),
        user=every["user"][row],
        duration=every["duration"][row],
    )
