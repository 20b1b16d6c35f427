"""Vega, which draws charts in the browser: one script, out of the package that brings it along."""

from __future__ import annotations

from functools import cache

import vl_convert


@cache
def script() -> bytes:
    """Returns Vega, Vega-Lite and Vega-Embed as a script that puts Vega-Embed among a page's data.

    In a function of its own, because it declares thousands of short names.
    """
    bundle = vl_convert.javascript_bundle('mlgit.data.set("vega", vegaEmbed);')
    return f"(() => {{\n{bundle}\n}})();\n".encode()


def versions() -> dict[str, str]:
    """Returns what is in it, with versions."""
    return {
        "Vega": vl_convert.get_vega_version(),
        "Vega-Lite": vl_convert.get_vegalite_versions()[-1],
        "Vega-Embed": vl_convert.get_vega_embed_version(),
    }
