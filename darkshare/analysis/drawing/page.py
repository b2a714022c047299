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
from darkshare.analysis.page import page_of

HERE = Path(__file__).parent
LEAST = 0.8  # of a drawing's own size; on a narrower screen it is moved under the finger


def page_text(part: str, graph: NetworkGraph) -> str:
    """The page as text, of the part that is the drawing."""
    return page_of(title_of(graph), f"{part}<footer>darkshare {escape(__version__)}</footer>\n", HERE)


def title_of(graph: NetworkGraph) -> str:
    """The names of what is drawn."""
    return " + ".join(printable(Path(name).stem) or "unnamed" for name in graph.names)


def drawing_part(wide: Sheet, narrow: Sheet, details: Sequence[Details]) -> str:
    """The drawing in both its sizes and the panel that describes a layer, as a part of a page with our style."""
    drawings = (
        svg_text(
            wide, details, attributes=f'class="net wide" role="group" style="min-width:{wide.width * LEAST:.0f}px"'
        ),
        svg_text(narrow, attributes=f'class="net narrow" role="group" style="min-width:{narrow.width * LEAST:.0f}px"'),
    )
    return f"""<div class="drawing">
<div class="canvas">
{"".join(drawings)}</div>
<section class="panel" aria-label="Layer">
<div id="details" aria-live="polite"><p>Point at a layer or touch it. Keys: Tab, then the arrows, Home, End.</p></div>
<nav><button type="button" data-key="ArrowLeft" aria-label="Layer before">&lsaquo;</button>
<button type="button" data-key="ArrowRight" aria-label="Layer after">&rsaquo;</button></nav>
</section>
</div>
"""
