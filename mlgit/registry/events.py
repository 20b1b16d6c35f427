"""The registry's events, read from git tags and written as git tags.

One `for-each-ref` reads them all. An event's number says what its writer knew: event n
was decided knowing the model's events below n. The tag's own time is at least a second
after the model's last event, because GTO orders by whole seconds and ignores numbers; the
true time is a trailer.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mlgit import names, tags
from mlgit.errors import WriteFailed
from mlgit.ledger import tagging
from mlgit.ledger.repository import Repository
from mlgit.ledger.tagging import New
from mlgit.registry import tag_objects

FORMAT = 1


class Event(NamedTuple):
    """One change of the registry: one annotated git tag."""

    name: tags.EventName
    tag: str
    sha: str
    """Of the tag object."""
    commit: str
    """The version commit it points at."""
    when: int
    """The tag's own time, in seconds since 1970."""
    time: str
    """When it was decided: UTC, ISO 8601 with microseconds."""
    by: str
    email: str
    subject: str
    reason: str
    trailers: Mapping[str, str]
    signature: str | None
    """What kind of signature the tag carries, whether it is good or not: "SSH", "GPG", "X.509"."""

    @property
    def is_signed(self) -> bool:
        return self.signature is not None

    @property
    def order(self) -> tuple[int, int, int, str]:
        """What events are applied by: those without a number first; number, time, name."""
        counter = self.name.counter
        return (counter is not None, counter or 0, self.when, self.tag)


class Draft(NamedTuple):
    """An event that is about to be written."""

    name: tags.EventName
    commit: str
    subject: str
    reason: str
    trailers: Mapping[str, str]


def load(repository: Repository, model: str | None = None) -> list[Event]:
    """Returns the events of all models, or of one, in the order they are applied in.

    Lightweight tags and those with other names are passed over.
    """
    patterns = ["refs/tags"]
    if model is not None:
        start = f"refs/tags/{tags.encode(model)}"
        patterns = [f"{start}@*", f"{start}#*"]
    found = []
    for tag, sha, raw in tag_objects.listing(repository, *patterns):
        event = read(tag, sha, raw)
        if event is not None and model in (None, event.name.model):
            found.append(event)
    return sorted(found, key=lambda event: event.order)


def read(tag: str, sha: str, raw: str) -> Event | None:
    """Returns the event that a tag object is, by its ref's name; None if it is none."""
    name = tags.parse(tag)
    said = tag_objects.read(tag, raw) if name is not None else None
    if name is None or said is None:
        return None
    stamp = said.trailers.get("Time", "")
    if not names.is_timestamp(stamp):
        stamp = names.timestamp(min(said.when, 253402300799))
    return Event(
        *(name, tag, sha, said.commit, said.when, stamp, said.by, said.email),
        *(said.subject, said.body, said.trailers, said.signature),
    )


def next_number(events: Iterable[Event]) -> int:
    """Returns the number of a model's next event: one more than the highest known."""
    return 1 + max((event.name.counter or 0 for event in events), default=0)


def write(
    repository: Repository, known: Sequence[Event], drafts: Sequence[Draft], after: str = ""
) -> list[New]:
    """Makes the tags of what was decided together, all of them or none, and returns them.

    `known` are the events of the model that were known when deciding; `after` is a stored
    time: of what else was known, whatever clock it came from. Tags are signed if
    `tag.gpgSign` says so.

    Raises:
        WriteFailed: one is there already, or cannot be written or signed.
    """
    now = time.time()
    if after:
        now = max(now, names.seconds(after))
    first = max(int(now), 1 + max((event.when for event in known), default=0))
    seen = max((event.name.counter or 0 for event in known), default=0)
    made = []
    for later, draft in enumerate(drafts):
        fixed = {"Format": str(FORMAT), "Time": names.timestamp(now), "Seen": str(seen)}
        told = {**fixed, **draft.trailers}
        message = tag_objects.message(draft.subject, draft.reason, told)
        made.append(New(str(draft.name), draft.commit, message, first + later))
    if len({new.name for new in made}) < len(made):
        raise WriteFailed("the same event was to be written twice")
    tagging.make_all(repository, made)
    return made
