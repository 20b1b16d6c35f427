"""The rows of the table: a module for each kind of act, whose `rows` yields its lines."""

from rows import importing, listing, points, saving, searching, storing, writing

ROWS = {
    "log": points,
    "save": saving,
    "import": importing,
    "list": listing,
    "search": searching,
    "write": writing,
    "disk": storing,
}
