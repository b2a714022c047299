"""A drawing as one page that opens offline: a pointer, the keyboard or a finger chooses the layer that it describes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from darkshare._tables import printable
from darkshare._version import __version__
from darkshare.analysis.drawing.graph import NetworkGraph
from darkshare.analysis.drawing.sheet import Sheet
from darkshare.analysis.drawing.svg import Details, svg_text

HERE = Path(__file__).parent
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
LEAST = 0.8  # of a drawing's own size; on a narrower screen it is moved under the finger


def page_text(wide: Sheet, narrow: Sheet, details: Sequence[Details], graph: NetworkGraph) -> str:
    """The page as text."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    title = escape(" + ".join(printable(Path(name).stem) or "unnamed" for name in graph.names))
    drawings = (
        svg_text(
            wide, details, attributes=f'class="net wide" role="group" style="min-width:{wide.width * LEAST:.0f}px"'
        ),
        svg_text(narrow, attributes=f'class="net narrow" role="group" style="min-width:{narrow.width * LEAST:.0f}px"'),
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<div class="scroll">
{"".join(drawings)}</div>
</main>
<footer>darkshare {escape(__version__)}</footer>
<section aria-label="Layer">
<div id="details" aria-live="polite"><p>Point at a layer or touch it. Keys: Tab, then the arrows, Home, End.</p></div>
<nav><button type="button" data-key="ArrowLeft" aria-label="Layer before">&lsaquo;</button>
<button type="button" data-key="ArrowRight" aria-label="Layer after">&rsaquo;</button></nav>
</section>
<script>
{script}</script>
</body>
</html>
"""
