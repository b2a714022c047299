"""The page: one file that needs nothing else, looked at by a real browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from browsers import Outside, browse, needs_browser
from conftest import tiny_text
from models import model, retrained

from darkshare.analysis.html import COLUMNS, page, write_html
from darkshare.analysis.stats import stats

# Clicks the heading "relative" once and then again, and leaves the column's order in the document.
PROBE = """<script>
const button = [...document.querySelectorAll("th button")].find(b => b.textContent === "relative");
const column = button.parentElement.cellIndex;
const read = () => [...button.closest("table").tBodies[0].rows].map(r => r.cells[column].dataset.value ?? "none");
button.click(); const up = read(); const sort = button.parentElement.getAttribute("aria-sort");
button.click(); const down = read();
const found = {up, down, sort, figures: document.querySelectorAll(".figure svg").length,
  wide: document.querySelector(".figure svg").getBoundingClientRect().width};
document.body.insertAdjacentHTML("beforeend", `<pre id="found">${JSON.stringify(found)}</pre>`);
</script></body>"""


@pytest.fixture(scope="module")
def found():
    base = model(tiny_text(2), "base")
    one, two = stats(base, retrained(base, tiny_text(1), "text", 4), retrained(base, tiny_text(2), "more", 2))
    return [one, replace(two, other="more <i>")]


@pytest.fixture(scope="module")
def text(found):
    return page(found)


def test_everything_is_in_the_file(found, tmp_path):
    write_html(found, tmp_path / "a.html", k=[4])
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    parser = Outside()
    parser.feed(text)
    assert parser.loads == []
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(re.findall("<svg ", text)) == 2
    assert text.count("<table>") == 2
    headings = re.findall(r'<button type="button">(.*?)</button>', text)
    assert headings[: len(COLUMNS)] == [column.name for column in COLUMNS]


def test_names_are_text_and_not_markup(text):
    assert "<i>" not in text
    assert "more &lt;i&gt;" in text


def test_no_name_is_used_twice(text):
    names = re.findall(r' id="([^"]+)"', text)
    assert len(names) == len(set(names)) > 20


def test_every_difference_has_its_row(found, text):
    assert len(re.findall(r"<tr[ >]", text)) == sum(len(one.differences) for one in found) + len(found)
    links = set(re.findall(r'<a href="#(row-[^"]+)"', text))
    assert links
    assert links <= set(re.findall(r'<tr id="([^"]+)"', text))  # from boxes of the figures
    assert all(one.verdict.split(";")[0] in text for one in found)


@pytest.mark.slow
@needs_browser
def test_a_real_browser_sorts_and_loads_nothing(found, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page(found, k=[4]).replace("</body>", PROBE), encoding="utf-8")
    dom, console, addresses = browse(path, tmp_path)
    seen = json.loads(re.findall(r'<pre id="found">(.*?)</pre>', dom)[-1])  # the first is the script that made it
    numbers = [float(value) for value in seen["up"] if value != "none"]
    assert numbers == sorted(numbers)
    assert numbers != [d.relative for d in found[0].differences if d.relative is not None]
    assert [float(value) for value in seen["down"] if value != "none"] == sorted(numbers, reverse=True)
    missing = seen["up"].count("none")
    assert missing > 0
    assert seen["up"][-missing:] == seen["down"][-missing:] == ["none"] * missing
    assert (seen["sort"], seen["figures"]) == ("ascending", 2)
    assert seen["wide"] > 500
    assert console == ""
    assert not [address for address in addresses if path.name in address and not address.startswith("file:")]
    assert not [a for a in addresses if a.startswith("http") and "google" not in a and "gvt1" not in a]
