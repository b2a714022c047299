"""Hooks of mkdocs.yml: the order of the pages, and links that hold on the site as they do in the repository."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from darkshare.cli import GROUPS

DOCS = Path(__file__).parent
OUTWARD = re.compile(r"\]\(((?:\.\./)+[^)\s]+)\)")


def on_config(config: Any) -> Any:
    """Give the pages their order: commands as `darkshare --help` has them, the rest by name."""
    how_to = {group: _pages("how-to", commands) for group, commands in GROUPS.items()}
    of_commands = {page for pages in how_to.values() for page in pages}
    others = [page for page in _pages("how-to") if page not in of_commands]
    config["nav"] = [
        {"Start": [page for page in ("index.md", "tutorial.md", "which-command.md") if (DOCS / page).exists()]},
        {
            "How to": [
                *({group: [{Path(page).stem: page} for page in pages]} for group, pages in how_to.items()),
                *others,
            ]
        },
        {"Explanation": _pages("explanation")},
        {"Reference": _pages("reference")},
    ]
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links to files outside docs/ to the repository."""
    folder = (DOCS / page.file.src_uri).parent

    def led(found: re.Match[str]) -> str:
        target = os.path.relpath(folder / found[1], DOCS.parent)
        return found[0] if target.startswith("docs/") else f"]({config['extra']['files']}/{target})"

    return OUTWARD.sub(led, markdown)


def _pages(folder: str, names: Any = None) -> list[str]:
    """The pages of a folder; of these names, in their order, those that exist."""
    found = sorted(path.stem for path in (DOCS / folder).glob("*.md"))
    return [f"{folder}/{name}.md" for name in (found if names is None else names) if name in found]
