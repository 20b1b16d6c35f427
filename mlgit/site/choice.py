"""What of a ledger a site shows. Pure."""

from __future__ import annotations

import msgspec

from mlgit.ledger.index import Table


class Choice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of the ledger a site shows, and how: with the ledger all that its bytes depend on."""

    title: str | None = None
    since: str | None = None
    """Runs that started before this day or moment (UTC) are left out."""
    experiments: list[str] = msgspec.field(default_factory=list)
    """Titles; runs of others are left out. None: all."""
    artifacts: bool = True
    """Whether the site takes artifacts' bytes along."""
    redacted: list[str] = msgspec.field(default_factory=list)
    """The kinds of what is taken out, see `redact`."""

    @property
    def is_part(self) -> bool:
        """Tells whether runs may be left out."""
        return self.since is not None or bool(self.experiments)

    @property
    def is_all(self) -> bool:
        """Tells whether the site keeps nothing back."""
        return not self.is_part and self.artifacts and not self.redacted


def chosen(every: Table, choice: Choice, stored: set[str] | None) -> Table:
    """Returns the runs that a site shows as a table of their own.

    `stored` are the chosen experiments as runs store them; None if all are chosen.
    """
    started, experiment = every.attributes["started"], every.attributes["experiment"]
    rows = [
        row
        for row in range(len(every.ids))
        if started[row] >= (choice.since or "") and (stored is None or experiment[row] in stored)
    ]
    place = {row: new for new, row in enumerate(rows)}
    values = {}
    for field, of_row in every.values.items():
        found = {place[row]: value for row, value in of_row.items() if row in place}
        if found:
            values[field] = found
    attributes = {name: [column[row] for row in rows] for name, column in every.attributes.items()}
    return Table([every.ids[row] for row in rows], attributes, values)
