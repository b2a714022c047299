"""Pages in a real browser, where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason=f"no browser found ({', '.join(BROWSERS)})")


class Outside(HTMLParser):
    """Everything that a page would load."""

    def __init__(self):
        super().__init__()
        self.loads = []

    def handle_starttag(self, tag, attrs):
        found = {"src", "srcset", "data", "action", "poster"}
        self.loads += [value for key, value in attrs if key in found]
        self.loads += [v for key, v in attrs if key in ("href", "xlink:href") and not v.startswith("#")]


def browse(path: Path, folder: Path) -> tuple[str, str, list[str]]:
    """The document after its scripts ran, what the console said, and every address asked for."""
    log = folder / "net.json"
    quiet = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    quiet += ["--no-first-run", "--disable-quic", "--disable-default-apps", "--disable-extensions"]
    command = [BROWSER, "--headless", "--no-sandbox", *quiet, f"--user-data-dir={folder / 'profile'}"]
    command += ["--enable-logging=stderr", "--log-level=0", f"--log-net-log={log}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    addresses = re.findall(r'"url":"([^"]+)"', log.read_text())
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, console, addresses
