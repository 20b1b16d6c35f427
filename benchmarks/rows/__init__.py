"""The rows of the table: a module for each kind of act, whose `rows` yields its lines."""

from rows import (
    data,
    fetching,
    importing,
    listing,
    points,
    proof,
    registry,
    saving,
    searching,
    site,
    storing,
    viewing,
    writing,
)

ROWS = {
    "log": points,
    "save": saving,
    "import": importing,
    "list": listing,
    "search": searching,
    "write": writing,
    "disk": storing,
    "data": data,
    "proof": proof,
    "fetch": fetching,
    "registry": registry,
    "site": site,
    "view": viewing,
}
