"""Build of the package: setup.cfg holds the metadata; here the README becomes the long description."""

from __future__ import annotations

import re
import runpy
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
LINK = re.compile(r"(!?)(\[[^\]]*\]\()(?![a-z]+:|#)([^)\s]+\))")


def absolute(text: str, home: str, tag: str) -> str:
    """Text whose links to files of the repository are links to its home page, at a tag; pictures are given raw."""
    return LINK.sub(lambda found: f"{found[1]}{found[2]}{home}/{'raw' if found[1] else 'blob'}/{tag}/{found[3]}", text)


def long_description() -> str:
    """README.md as a package index shows it: outside the repository, where a relative link leads nowhere."""
    settings = ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    version = runpy.run_path(str(ROOT / "darkshare" / "_version.py"))["__version__"]
    readme = (ROOT / "README.md").read_text("utf-8")
    return absolute(readme, settings["metadata"]["url"], f"v{version}")


if __name__ == "__main__":
    setup(long_description=long_description())
