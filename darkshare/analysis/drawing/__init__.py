"""Draw a network: trunk, branches, heads and tasks, with the cost of every layer.

graph < lanes < layout (tracks, costs, words) give a drawing in plain numbers; svg, page and figure write it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from darkshare._figures import figure_format
from darkshare._files import write_all
from darkshare._tables import Result, wrapped
from darkshare._texts import to_escaped
from darkshare.analysis.drawing.figure import figure_bytes
from darkshare.analysis.drawing.graph import NetworkGraph, graph_of, names_of
from darkshare.analysis.drawing.layout import lay_out, notes_of, summary_of
from darkshare.analysis.drawing.page import drawing_part, page_text
from darkshare.analysis.drawing.sheet import NARROW, Sheet
from darkshare.analysis.drawing.svg import svg_text
from darkshare.analysis.drawing.words import details
from darkshare.darknet.model import Model
from darkshare.errors import checked

PAGES = ("html", "htm")


@dataclass(frozen=True, repr=False)
class Drawing(Result):
    """A drawing of a network; its rows are the layers.

    Attributes:
        graph: what is drawn.
    """

    graph: NetworkGraph

    @cached_property
    def sheet(self) -> Sheet:
        """The drawing in plain numbers."""
        return lay_out(self.graph)

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                **({"network": self.graph.labels[one.model]} if len(self.graph.names) > 1 else {}),
                "layer": one.layer.index,
                "kind": one.layer.kind.name,
                "output": str(one.layer.y),
                "params": one.layer.size,
                "bflops": one.layer.flops / 1e9,
                "tasks": names_of(self.graph.tasks, one.tasks),
                "shared": self.graph.is_shared(one),
            }
            for one in self.graph.layers
        ]

    def notes(self) -> list[str]:
        return [line for note in notes_of(self.graph) for line in wrapped(note)]

    def summary(self) -> str:
        return summary_of(self.graph)

    def svg(self) -> str:
        """The drawing as the text of an SVG file, with the details of each layer as its title."""
        return svg_text(self.sheet, self._details())

    def html(self) -> str:
        """The drawing as one page that opens offline and shows the layer that is pointed at."""
        return page_text(self.part(), self.graph)

    def part(self) -> str:
        """The same as a part of a page that has the style and the script of `drawing/page.*`."""
        return drawing_part(self.sheet, lay_out(self.graph, NARROW), self._details())

    def write(self, path: str | Path) -> None:
        """Write the drawing into a .html, .svg, .png or .pdf file, which is replaced as a whole.

        Raises:
            BadValue: another suffix.
            DarkshareError: the file cannot be written.
        """
        form = drawing_format(path)
        if form in ("png", "pdf"):
            content = figure_bytes(self.sheet, form)
        else:
            content = to_escaped(self.svg() if form == "svg" else self.html())
        write_all({Path(path): [content]})

    def _details(self) -> list[list[tuple[str, str]]]:
        return [details(self.graph, layer) for layer in self.graph.layers]

    def _repr_html_(self) -> str:
        return self.svg()


@checked
def draw(model: Model, *others: Model) -> Drawing:
    """Draw a network, merged or not; or several as they would lie in one, over the trunk that they share.

    Args:
        model: the network, or the base of several.
        others: those that are drawn as its branches. What is bit-identical is shared; without weights, what computes
            the same.

    Returns:
        A `Drawing`, which `write` puts into a file and a notebook shows.
    """
    return Drawing(graph_of((model, *others)))


def drawing_format(path: str | Path) -> str:
    """The format that the name of a drawing asks for.

    Raises:
        BadValue: there is no such format.
    """
    return figure_format(path, "drawing", PAGES)
