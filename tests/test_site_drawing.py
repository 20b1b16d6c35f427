"""SVG of runs: which a page shows, and which would be the end of it."""

from __future__ import annotations

import pytest

from mlgit.site.drawing import may_be_shown

SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'


def again(depth: int, times: int, how: str) -> str:
    parts = [
        f'<g id="a{n}">{how.format(n - 1) * times}</g>' if n else '<rect id="a0"/>'
        for n in range(depth)
    ]
    return f"{SVG}<defs>{''.join(parts)}</defs>{how.format(depth - 1)}</svg>"


USE = '<use href="#a{}"/>'
LINK = '<use xlink:href="#a{}"/>'
FILL = '<rect style="fill: url(#a{})"/>'


@pytest.mark.parametrize(
    "text",
    [
        SVG + "</svg>",
        "<svg><path d='M0 0'/></svg>",
        "<?xml version='1.0' encoding='utf-8' standalone='no'?>\n<!DOCTYPE svg>" + SVG + "</svg>",
        again(2, 3000, LINK),  # as letters of matplotlib
        SVG + '<g id="a"><use href="#a"/></g></svg>',
        SVG + '<use href="#nowhere"/></svg>',
    ],
)
def test_what_is_shown(text: str) -> None:
    assert may_be_shown(text)


@pytest.mark.parametrize(
    "text",
    [
        *(again(12, 10, how) for how in (USE, LINK, FILL)),
        SVG,
        "<html></html>",
        '<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG + "&a;</svg>",
        SVG + "<g>" * 20_000 + "</g>" * 20_000 + "</svg>",
    ],
)
def test_what_is_not(text: str) -> None:
    assert not may_be_shown(text)
