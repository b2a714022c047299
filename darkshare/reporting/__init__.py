"""One report: everything that the other commands say of a model, of several, or of a merged one, in one page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Any

from darkshare._files import is_file, require_promise, write_all
from darkshare._files.opened import sha256
from darkshare._tables import Result
from darkshare._texts import to_escaped
from darkshare._version import __version__
from darkshare.analysis.drawing import Drawing, draw
from darkshare.analysis.drawing.page import HERE as OF_DRAWINGS
from darkshare.analysis.drawing.page import title_of
from darkshare.analysis.html import HERE as OF_TABLES
from darkshare.analysis.page import page_of, table_part
from darkshare.choose_k.sweep import JSON as SWEPT
from darkshare.darknet.model import Model, sibling
from darkshare.darknet.typed import files_of, typed
from darkshare.errors import BadArguments, BadValue, checked
from darkshare.evaluation.runner import Watch
from darkshare.evaluation.tasks import Sources
from darkshare.inference.media.sources import Names
from darkshare.reporting import sections
from darkshare.reporting.sections import ReportSection

HERE = Path(__file__).parent
SUFFIXES = (".html", ".htm")


@dataclass(frozen=True, repr=False)
class ModelReport(Result):
    """A report; its rows are the sections.

    Attributes:
        title: the names of the models.
        command: that makes it, but for the name of the page.
        sections: what there is to show.
        inputs: the files that it is about: name, bytes, SHA-256.
        date: the day that it was made, in UTC, or that of SOURCE_DATE_EPOCH.
    """

    title: str
    command: str
    sections: tuple[ReportSection, ...]
    inputs: tuple[tuple[str, int, str], ...]
    date: str

    @property
    def is_wrong(self) -> bool:
        """Whether a section tells of a failure: the merged network does not give what its parts give."""
        return any(one.is_wrong for one in self.sections)

    def rows(self) -> list[dict[str, Any]]:
        return [{"section": one.title, "found": one.summary, "command": one.command} for one in self.sections]

    def table(self) -> list[dict[str, Any]]:
        return []

    def notes(self) -> list[str]:
        return [f"{one.title}: {one.summary}" for one in self.sections]

    def as_dict(self) -> dict[str, Any]:
        files = [{"file": name, "bytes": size, "sha256": digest} for name, size, digest in self.inputs]
        return {**super().as_dict(), "title": self.title, "date": self.date, "files": files}

    def summary(self) -> str:
        return f"{self.title}: {', '.join(one.title.lower() for one in self.sections)}"

    def html(self, output: str = "report.html") -> str:
        """The page as text; `output` is the name that its command has for it."""
        listed = "".join(
            f'<li><a href="#{one.anchor}">{escape(one.title)}</a>: {escape(one.summary)}</li>' for one in self.sections
        )
        wrong = "".join(
            f'<p class="wrong" role="alert">{escape(one.title)} failed: {escape(one.summary)}</p>\n'
            for one in self.sections
            if one.is_wrong
        )
        files = [{"file": name, "bytes": size, "SHA-256": digest} for name, size, digest in self.inputs]
        made = f"Made by darkshare {__version__} on {self.date}:"
        body = f"""<h1>{escape(self.title)}</h1>
{wrong}<ul class="verdicts">{listed}</ul>
<main>
{"".join(one.html() for one in self.sections)}<section id="inputs"><h2>Inputs</h2>
<p>{escape(made)} <code>{escape(f"{self.command} -o {typed(output)}")}</code></p>
{table_part(files)}</section>
</main>
"""
        return page_of(self.title, body, OF_TABLES, OF_DRAWINGS, HERE)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page into an .html file, which is replaced as a whole.

        Raises:
            BadValue: the name promises another format.
            DarkshareError: the file cannot be written.
        """
        require_promise(path, "a web page", *SUFFIXES)
        write_all({Path(path): [to_escaped(self.html(os.fspath(path)))]})

    def _repr_html_(self) -> str:
        return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in self.notes())}</ul>"


@checked
def report(
    models: Model | Sequence[Model], images: Names | None = None, *,
    data: Sources = (), beside: Model | Sequence[Model] = (), sweep: str | os.PathLike[str] | None = None,
    bench: bool = False,
    watch: Callable[[str], Watch] = lambda label: iter,
) -> ModelReport:  # fmt: skip
    """Draw, count, compare, verify, run and measure: all that is known of a model, in one page.

    Of a merged model the savings and the differences are those of the networks in it; of several models, theirs.

    Args:
        models: the model; or several, a base first, as they would lie in one.
        images: pictures to find objects in, as `detect` takes them; the first 12 are shown, of a video one frame.
        data: labelled pictures to evaluate on, as `evaluate` takes them.
        beside: of a merged model the networks that it was made of, to verify it; of another one, those that it is
            compared with, the base first.
        sweep: the folder of a sweep, to show what each k costs and saves.
        bench: measure separate networks against the merged one, which takes time and differs from run to run.
        watch: see `evaluate`.

    Returns:
        A `ModelReport`, which `write` puts into a page.

    Raises:
        BadArguments: pictures, data or `beside` for several models.
        BadValue: SOURCE_DATE_EPOCH is not a time.
        DarkshareError: what cannot be drawn, read or run.
    """
    given = [models] if isinstance(models, Model) else list(models)
    others = [beside] if isinstance(beside, Model) else list(beside)
    photos, sources, date = sections.listed(images or ()), sections.named_sources(data), _date()
    folder = None if sweep is None else Path(sweep)
    if not given:
        raise BadArguments("give a model")
    if len(given) > 1 and (photos or sources or others):
        raise BadArguments("pictures, data and beside are for one model: merge these first, or report on each")
    sketch, found = _of_networks(given, others, folder)
    names = [path for one in (*given, *others) for path in _files(one)]
    names += [*(sections.label_of(one) for _, one in sources), *([str(folder / SWEPT)] if folder else [])]
    if photos:
        section, seen = sections.pictured(given[0], photos)
        found.append(section)
        names += seen
    if sources:
        found.append(sections.evaluated(given[0], sources, watch))
    if bench:
        found.append(sections.timed(given))
    options = [word for one in others for file in files_of(one) for word in ("--beside", file)]
    options += [*sections.data_words(sources), *(["--sweep", str(folder)] if folder else [])]
    options += ["--bench"] if bench else []
    inputs = ((path, Path(path).stat().st_size, sha256(path)) for path in dict.fromkeys(names) if is_file(path))
    command = sections.command("report", given, *photos, *options, beside=others)
    return ModelReport(title_of(sketch.graph), command, tuple(found), tuple(inputs), date)


def _of_networks(
    given: Sequence[Model], others: Sequence[Model], sweep: Path | None
) -> tuple[Drawing, list[ReportSection]]:
    """The drawing, and the sections that need no pictures; the arguments are those of `report`."""
    model, parts = given[0], sections.networks_in(given[0]) if len(given) == 1 else []
    networks = (others or parts) if parts else [*others, *given]
    shown = given if parts else networks
    sketch = draw(*shown)
    apart, ks = model if parts and not others else None, sections.cuts(sketch, shown)
    proof = [sections.verified(model, others)] if parts and others else []
    found = [sections.drawn(sketch, shown), *sections.saved(networks, sketch, ks, apart)]
    if sweep:
        found.append(sections.swept(sweep, networks[0] if others or len(given) > 1 else None))
    if not apart:  # what lies in one file has one trunk
        found += sections.compared(networks, model if parts else None)
    found += sections.differing(networks, ks, apart, sections.places_in(sketch, shown, networks))
    return sketch, found + proof


def _files(model: Model) -> Iterator[str]:
    """The files that a model was read from."""
    stem = Path(model.name).with_suffix("")
    yield from (*files_of(model), *(str(sibling(stem, suffix)) for suffix in (".names", ".tasks.json")))


def _date() -> str:
    """Today, or the day of SOURCE_DATE_EPOCH.

    Raises:
        BadValue: that is not a time.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        when = datetime.now(timezone.utc) if given is None else datetime.fromtimestamp(int(given), timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise BadValue(f"SOURCE_DATE_EPOCH={given} is not a time; give seconds since 1970") from None
    return when.date().isoformat()
