"""Notes and descriptions: Markdown to HTML in which nothing of the writer's ever runs.

The `js-default` preset has no raw HTML; links go to http, https, mail and places of this
site, and pictures from elsewhere become links, because a page asks nobody for anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

LIMIT = 128 * 1024  # characters; more is shown as it was written

RunUrl = Callable[[str], str | None]
"""Returns where the run with this id, or beginning of one, has its page."""

_RUN = re.compile(r"(?<![0-9a-z])[0-7][0-9a-hjkmnp-tv-z]{9,25}(?![0-9a-z])")
_REDACTED = re.compile(r"://(\[|%5B)host", re.IGNORECASE)
_SAFE_LINK = re.compile(r"(https?:|mailto:|#)", re.IGNORECASE)


class Block(NamedTuple):
    """What stands between two fences."""

    text: str
    line: int
    """Its first one in the file, from 1."""


Blocks = Mapping[str, Callable[[Block], Markup]]
"""By the word after a fence what stands in the place of its block."""


def to_html(
    text: str,
    run_url: RunUrl = lambda text: None,
    blocks: Blocks = MappingProxyType({}),
    is_page: bool = False,
) -> Markup:
    """Returns a text as HTML; the ids of runs in it are links to their pages.

    Its headings are below those of the page, unless it is the page.
    """
    if len(text) > LIMIT:
        return Markup("<pre>{}</pre>").format(text)
    try:
        env = {"run_url": run_url, "blocks": blocks, "shift": 0 if is_page else 2}
        return Markup(_parser().render(text, env))
    except RecursionError:  # a hundred thousand brackets
        return Markup("<pre>{}</pre>").format(text)


def blocks(text: str, word: str) -> list[Block]:
    """Returns a text's fenced blocks of one kind."""
    if len(text) > LIMIT:
        return []
    try:
        tokens = _parser().parse(text, {"run_url": lambda text: None})
    except RecursionError:
        return []
    return [_block(each) for each in tokens if each.type == "fence" and each.info.strip() == word]


def _block(fence: Token) -> Block:
    assert fence.map is not None  # the parser says of every block where it stands, from 0
    return Block(fence.content, fence.map[0] + 2)


_PLAIN_LIMIT = 2000  # characters that are looked at for a line of a list


def plain(text: str) -> str:
    """Returns the words of the beginning of a text, on one line, without Markdown's signs.

    >>> plain("How *long*?\\n\\n- [a](https://example.org) `b`")
    'How long? a b'
    """
    try:
        tokens = _parser().parse(text[:_PLAIN_LIMIT], {"run_url": lambda text: None})
    except RecursionError:
        return " ".join(text[:_PLAIN_LIMIT].split())
    words = []
    for block in tokens:
        if block.type == "inline":
            words.append("".join(_words(token) for token in block.children or []))
        elif block.type in ("fence", "code_block"):
            words.append(block.content)
    return " ".join(" ".join(words).split())


def _words(token: Token) -> str:
    return " " if token.type in ("softbreak", "hardbreak") else token.content


@cache
def _parser() -> MarkdownIt:
    options = {"linkify": False, "maxNesting": 40, "highlight": _highlight}
    parser = MarkdownIt("js-default", options)
    # Not the library's own answer: a relative link could lead anywhere on whatever host.
    parser.validateLink = lambda url: bool(_SAFE_LINK.match(url.strip()))  # type: ignore[method-assign]
    # The library takes [host], which redaction puts there, for a host of this name; an empty
    # address is refused by the rule above, and the link stands as text.
    normal = parser.normalizeLink
    parser.normalizeLink = lambda url: "" if _REDACTED.search(url) else normal(url)  # type: ignore[method-assign]
    parser.core.ruler.push("runs", _link_runs)
    parser.core.ruler.push("tasks", _draw_tasks)
    parser.core.ruler.push("cells", _align_by_class)
    parser.add_render_rule("heading_open", _heading_open)
    parser.add_render_rule("heading_close", _heading_close)
    parser.add_render_rule("image", _image)
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", _table_close)
    return parser


_LANGUAGES = {
    *("python", "py", "json", "yaml", "toml", "ini", "bash", "sh", "shell", "console", "sql"),
    *("diff", "r", "julia", "javascript", "js", "c", "cpp", "rust", "go", "java"),
}
_HIGHLIGHTED = 20_000  # characters; some of Pygments's rules take long over hostile text


def _highlight(code: str, language: str, attributes: str) -> str:
    if language not in _LANGUAGES or len(code) > _HIGHLIGHTED:
        return ""
    return str(highlight(code, get_lexer_by_name(language), HtmlFormatter(nowrap=True)))


_TASK = re.compile(r"\[([ xX])\] ")


def _draw_tasks(state: Any) -> None:
    """Draws the boxes of a task list, which are not to be ticked on a page."""
    tokens = state.tokens
    for place, block in enumerate(tokens[2:], 2):
        if block.type != "inline" or tokens[place - 2].type != "list_item_open":
            continue
        first = block.children[0] if block.children else None
        if first and first.type == "text" and (match := _TASK.match(first.content)):
            box = "\u2610" if match[1] == " " else "\u2611"
            first.content = f"{box} {first.content[match.end() :]}"
            tokens[place - 2].attrSet("class", "task")


def _align_by_class(state: Any) -> None:
    """Aligns cells by a class, because a page allows no style of its own."""
    for token in state.tokens:
        style = token.attrs.pop("style", None) if token.type in ("th_open", "td_open") else None
        if style:
            token.attrs["class"] = str(style).replace("text-align:", "align-")


def _link_runs(state: Any) -> None:
    """Makes links of the ids of runs in plain text."""
    run_url: RunUrl = state.env["run_url"]
    for block in state.tokens:
        if block.type != "inline" or not block.children:
            continue
        children: list[Token] = []
        depth = 0
        for token in block.children:
            depth += {"link_open": 1, "link_close": -1}.get(token.type, 0)
            plain = token.type in ("text", "code_inline") and not depth
            children += _linked(token, run_url) if plain else [token]
        block.children = children


def _linked(token: Token, run_url: RunUrl) -> list[Token]:
    found: list[Token] = []
    end = 0
    for match in _RUN.finditer(token.content):
        url = run_url(match[0])
        if url is None or (token.type == "code_inline" and match[0] != token.content):
            continue
        if before := token.content[end : match.start()]:
            found.append(_text(token, before))
        found += [
            Token("link_open", "a", 1, attrs={"href": url, "class": "run"}, meta={"ours": True}),
            _text(token, match[0]),
            Token("link_close", "a", -1),
        ]
        end = match.end()
    if not found:
        return [token]
    rest = token.content[end:]
    return [*found, _text(token, rest)] if rest else found


def _text(like: Token, content: str) -> Token:
    return Token(like.type, like.tag, 0, content=content, markup=like.markup)


def _heading_open(
    renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    return f"<h{_level(tokens[index], env)}>"


def _heading_close(
    renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    return f"</h{_level(tokens[index], env)}>\n"


def _level(token: Token, env: Any) -> int:
    """Puts the headings of a note below those of the page."""
    return min(6, int(token.tag[1]) + int(env["shift"]))


def _fence(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    block = env["blocks"].get(tokens[index].info.strip())
    if block:
        return str(block(_block(tokens[index])))
    return str(renderer.fence(tokens, index, options, env))


def _table_open(*_: Any) -> str:
    return '<div class="scroll"><table>\n'


def _table_close(*_: Any) -> str:
    return "</table></div>\n"


def _image(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    alt = renderer.renderInlineAsText(token.children or [], options, env) or "picture"
    source = str(token.attrs.get("src", ""))
    return str(Markup('<a href="{}" rel="noreferrer">{}</a>').format(source, alt))


def _link_open(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    if not tokens[index].meta.get("ours"):
        tokens[index].attrs["rel"] = "noreferrer"
    return str(renderer.renderToken(tokens, index, options, env))
