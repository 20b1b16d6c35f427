"""SVG that a run logged: whether a page shows it. Pure.

As a picture it runs no script and asks for nothing. But ten parts that each show another ten
times are ten thousand million, of which a browser does not wake up: these are not shown.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

LIMIT = 256 * 1024  # bytes of a drawing inside the page
_PARTS = 200_000  # of a drawing, with all that it shows again
_SHOWN = re.compile(r"#([^\s\"')]+)")  # as in href="#a" and fill="url(#a)"


def may_be_shown(text: str) -> bool:
    """Tells whether a text is an SVG of a size that a browser can draw."""
    if "<svg" not in text[:2000] or "<!ENTITY" in text:
        return False
    try:
        root = ElementTree.fromstring(text)
        return _count(root, {str(each.get("id")): each for each in root.iter()}, {}) <= _PARTS
    except (ElementTree.ParseError, RecursionError, ValueError):
        return False


def _count(
    part: ElementTree.Element,
    named: dict[str, ElementTree.Element],
    known: dict[ElementTree.Element, int],
) -> int:
    """Returns how many parts are drawn for one; what shows itself is drawn once."""
    if part not in known:
        known[part] = 0
        again = [
            named[name]
            for value in part.attrib.values()
            for name in _SHOWN.findall(value)
            if name in named
        ]
        known[part] = 1 + sum(_count(each, named, known) for each in [*part, *again])
    return known[part]
