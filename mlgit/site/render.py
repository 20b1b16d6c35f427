"""Templates filled in: the only place that turns values into HTML.

Everything is escaped unless it is `Markup`, and no text reaches a page with characters
that act on whoever shows it: controls, and marks that turn the reading direction around.
"""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from mlgit.data.hashing import is_md5
from mlgit.lineage import graph
from mlgit.records import pack
from mlgit.site import markdown, resources, urls
from mlgit.site.numbers import is_finite
from mlgit.words import ABSENT, counted, number, size, span

NAVIGATION = (
    ("Experiments", urls.HOME),
    ("Runs", urls.RUNS),
    ("Registry", urls.MODELS),
    ("Data", urls.DATA),
    ("Look up", urls.LOOKUP),
    ("About", urls.ABOUT),
)
TAIL = 200  # lines of a console
CUT = 300  # characters of a text in a cell

# The JavaScript of a page is ours, its pictures and data are the site's, and that is all.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'"
)


def page(template: str, url: str, **context: Any) -> bytes:
    """Returns the bytes of the page at `url`."""
    root = urls.root_of(url)

    def to(target: str) -> str:
        return root + target

    text = _environment().get_template(template).render(root=root, to=to, url=url, **context)
    return text.encode(errors="replace")


def part(template: str, url: str, **context: Any) -> Markup:
    """Returns a piece of the page at `url`."""
    return Markup(page(template, url, **context).decode())


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.folder("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=harmless,
    )
    environment.filters.update(
        cell=cell,
        counted=counted,
        cut=cut,
        decimal=decimal,
        is_md5=is_md5,
        jointed=jointed,
        number=rounded,
        plain=markdown.plain,
        quoted=shlex.quote,
        short=short,
        brief=brief,
        size=size,
        span=span,
        stamp=stamp,
        tail=tail,
        text=text_of,
        thousands=thousands,
    )
    environment.globals.update(
        nav=NAVIGATION, policy=POLICY, version=resources.maker()[:8], urls=urls
    )
    return environment


_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def harmless(value: Any) -> Any:
    """Returns a text without characters that act on whoever shows it; other values as they are."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _ACTING.sub("\ufffd", value)
    return "" if value is None else value


def rounded(value: float) -> str:
    """Returns a number in five significant digits."""
    return number(value, 5)


def text_of(value: Any) -> str:
    """Returns any stored value in full, as text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return value
    return json.dumps(pack(value), ensure_ascii=False)


def cell(value: Any) -> Markup:
    """Returns any stored value for a cell: rounded or cut, with the whole as its tooltip."""
    if value is None:
        return Markup('<span class="absent">{}</span>').format(ABSENT)
    whole = str(harmless(text_of(value)))
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    shown = rounded(value) if is_number else cut(whole)
    if shown == whole:
        return Markup("{}").format(shown)
    if len(whole) > 10 * CUT:
        whole = f"{len(whole):,} characters"
    return Markup('<span title="{}">{}</span>').format(whole, shown)


def cut(text: str, limit: int = CUT) -> str:
    """Returns a text of at most so many characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def jointed(text: str) -> Markup:
    """Returns a name that may be broken into lines after its joints.

    >>> print(jointed("val/top_1.<b>"))
    val/<wbr>top_<wbr>1.&lt;b&gt;
    """
    return Markup(_JOINT.sub(r"\1<wbr>", str(escape(harmless(text)))))


# Between letters and digits, so that no escaped character is taken apart.
_JOINT = re.compile(r"(?<=[^\W_])([._/-]+)(?=[^\W_])")


def decimal(value: Any, digits: int | None) -> str:
    """Returns a number with the decimals of its column, any other value as `cell` shows it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(cut(text_of(value)))
    if digits is None or not is_finite(value):
        return number(value, 4)
    return f"{value:.{digits}f}" if digits else f"{value:,.0f}"


def thousands(value: Any) -> str:
    """Returns a count with its thousands apart."""
    return f"{value:,}" if isinstance(value, int) else text_of(value)


def tail(text: str) -> str:
    """Returns the end of what a console showed, as the lines stood in the end."""
    lines = [line.rpartition("\r")[2] for line in text.rstrip().split("\n")]
    return "\n".join(lines[-TAIL:])


def short(sha: str) -> str:
    """Returns the beginning of an id or hash, enough for people."""
    return sha[:10]


def brief(key: str) -> str:
    """Returns what people are shown of the hash of data, or of an address in its place.

    >>> brief("https://example.org/trips.csv"), brief('https://example.org/trips.csv W/"5f-1"')
    ('address', '5f-1')
    """
    return graph.brief(key) or "address"


def stamp(time: str | None, with_day: bool = True) -> Markup:
    """Returns a stored time: in UTC as it stands, which the page's script makes local."""
    if time is None:
        return Markup(ABSENT)
    shown = f"{time[:10]} {time[11:16]}"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        time, f"{time[:10]} {time[11:19]}", shown
    )
