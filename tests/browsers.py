"""Pages in a real browser, where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason=f"no browser found ({', '.join(BROWSERS)})")
# A page in frames of two sizes, a desk and a phone; a script looks at each and gives what it has seen.
FRAMES = """<!doctype html><body>
<iframe width=1280 height=800 src="page.html"></iframe><iframe width=390 height=844 src="page.html"></iframe>
<script>
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument, view = frame.contentWindow;
    const drawing = [...page.querySelectorAll("svg.net")].find((one) => one.getClientRects().length);
{look}  });
  document.body.insertAdjacentHTML("beforeend", `<pre id="found"></pre>`);
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script></body>"""


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
    command += [
        "--allow-file-access-from-files",
        "--enable-logging=stderr",
        "--log-level=0",
        f"--log-net-log={log}",
        "--dump-dom",
        path.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    addresses = re.findall(r'"url":"([^"]+)"', log.read_text())
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, console, addresses


def seen_in_frames(html: str, look: str, folder: Path) -> list[dict[str, Any]]:
    """What a script sees of a page on a desk and on a phone; the page says nothing to the console and loads nothing."""
    path = folder / "frames.html"
    path.write_text(FRAMES.replace("{look}", look), encoding="utf-8")
    (folder / "page.html").write_text(html, encoding="utf-8")
    dom, console, addresses = browse(path, folder)
    assert not console, console
    assert not [a for a in addresses if a.startswith("http") and "google" not in a and "gvt1" not in a]
    return json.loads(unescape(re.findall(r'<pre id="found">(.*?)</pre>', dom)[-1]))


def pages_when_printed(path: Path, folder: Path) -> int:
    """The number of pages of paper."""
    made = folder / "page.pdf"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    subprocess.run([*command, f"--print-to-pdf={made}", path.as_uri()], capture_output=True, check=True)
    return len(re.findall(rb"/Type /Page\b", made.read_bytes()))
