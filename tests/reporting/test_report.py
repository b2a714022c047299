"""A report: which sections there are, what they say, and the page in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from browsers import Outside, needs_browser, pages_when_printed, seen_in_frames
from classifiers import classifier
from conftest import run, tiny_text
from models import model, quiet_concat, retrained, without_weights
from sweeps import result
from synthetic import colour_classifier, painted

from darkshare import load, report, save, savings, verify
from darkshare.choose_k.results import choices
from darkshare.choose_k.sweep import write_results
from darkshare.data import Classified, ClassifiedDataset
from darkshare.errors import BadArguments, BadValue, DarkshareError, ShapeMismatch

PARTS = [base := model(tiny_text(2), "base"), retrained(base, tiny_text(1), "text", 4)]
BOTH = quiet_concat(PARTS, k=4)
MORE = retrained(base, tiny_text(2), "more", 1)
THREE = quiet_concat([BOTH, MORE], k=1)
TRUNK = ["Trunk", "Differences"]
CASES = {
    "merged": (BOTH, {}, ["Drawing", "Savings", "Differences"]),
    "merged, beside its parts": (BOTH, {"beside": PARTS}, ["Drawing", "Savings", *TRUNK, "Verification"]),
    "of one that was merged": (THREE, {"beside": [BOTH, MORE]}, ["Drawing", "Savings", *TRUNK, "Verification"]),
    "retrained, beside its base": (PARTS[1], {"beside": base}, ["Drawing", "Savings", *TRUNK]),
    "two": (PARTS, {}, ["Drawing", "Savings", *TRUNK]),
    "two without weights": ([without_weights(tiny_text(n), "x") for n in (1, 2)], {}, ["Drawing", "Savings"]),
    "one": (base, {}, ["Drawing", "Savings"]),
    "nothing shared": ([base, classifier()], {}, ["Drawing", *TRUNK]),
}


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Figures take longer than everything else, so only `page` has them."""
    for name in ("reporting.sections.savings_svg", "reporting.sections.sweep_svg", "analysis.html.differences_svg"):
        monkeypatch.setattr(f"darkshare.{name}", lambda *_, **__: "<svg></svg>")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Models on disk with everything beside them, and two pictures, of which one is large."""
    folder = tmp_path_factory.mktemp("desk")
    for name, one in zip(("base", "text", "both"), (*PARTS, BOTH), strict=True):
        save(one, folder / name)
    for name, size in (("small", (30, 40, 3)), ("large", (900, 1200, 3))):
        cv2.imwrite(str(folder / f"{name}.png"), np.random.default_rng(1).integers(0, 255, size, dtype=np.uint8))
    return folder


@pytest.fixture(scope="module")
def page(desk):
    """A page with all that is drawn."""
    both, *parts = (load(desk / f"{name}.cfg") for name in ("both", "base", "text"))
    return report(both, desk / "large.png", beside=parts).html()


@pytest.fixture
def here(desk, monkeypatch):
    monkeypatch.chdir(desk)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    return desk


@pytest.mark.parametrize("case", CASES)
def test_there_is_a_section_for_all_that_there_is_to_show(case):
    models, how, titles = CASES[case]
    found = report(models, **how)
    assert [one.title for one in found.sections] == [row["section"] for row in found.rows()] == titles
    page = found.html()
    assert re.findall(r'<section id="(\w+)">', page) == [*map(str.lower, titles), "inputs"]
    names = re.findall(r'(?<![\w-])id="([^"]+)"', page)
    assert set(re.findall(r'<a href="#(\w+)"', page)) <= {*names}
    parser = Outside()
    parser.feed(page)
    assert parser.loads == []


def test_names_in_figures_are_kept_apart(page):
    names = re.findall(r'(?<![\w-])id="([^"]+)"', page)
    assert len(names) == len(set(names)) > 50


def test_a_section_says_what_its_command_says():
    found = {one.title: one for one in report(BOTH, beside=PARTS).sections}
    (at,) = savings(PARTS, k=4)
    assert found["Savings"].summary.startswith(
        f"{at.saved_weights:.1%} of all weights, {at.saved_flops:.1%} of all operations, with k=4"
    )
    assert f'data-value="{at.saved_params}"' in found["Savings"].body
    assert found["Verification"].summary == verify(BOTH, *PARTS).summary()
    assert not report(BOTH, beside=PARTS).is_wrong


@pytest.mark.parametrize("is_merged", [True, False])
def test_networks_that_share_different_layers_save_each_its_own(is_merged):
    parts = [*PARTS, MORE]
    found = report(quiet_concat(parts, k=[4, 1]) if is_merged else parts).sections[1]
    saved = base.network.start(4) + base.network.start(1)
    share = saved / sum(one.network.params for one in parts)
    assert found.summary.startswith(f"{share:.1%} of all weights, ")
    assert found.summary.endswith(", with k=1, k=4")


def test_rows_of_identical_layers_are_left_out():
    (found,) = (one for one in report(PARTS).sections if one.title == "Differences")
    layers = re.findall(r'<tr[^>]*><td class="number" data-value="(-?\d+)"', found.body)
    assert "bit-identical up to layer 3" in found.summary
    assert {int(layer) for layer in layers} & {0, 1, 2, 3} == set()
    assert len(layers) > 5


@pytest.mark.parametrize(
    ("models", "beside", "places"),
    [
        (BOTH, (), {4: "14 4", 11: "21 11"}),  # the route to layer 3 is layer 13
        (BOTH, PARTS, {4: "14 4", 11: "21 11"}),
        (PARTS, (), {4: "13 4", 11: "20 11"}),
        ([base, MORE], (), {1: "13 1", 11: "23 11"}),
    ],
)
def test_rows_of_differences_know_the_places_of_their_layers_in_the_drawing(models, beside, places):
    page = report(models, beside=beside).html()
    found = dict(re.findall(r'id="row-0-(\d+)-\1-\w+" data-place="([^"]+)"', page))
    assert {layer: found.get(str(layer)) for layer in places} == places
    assert len(re.findall(r'<tr id="layer-\d+" data-place', page)) > 20


def test_heads_that_differ_are_told_at_once_and_fail(here, tmp_path):
    save(retrained(base, tiny_text(1), "text", 4, seed=9), tmp_path / "other")
    page = tmp_path / "page.html"
    run("report", "both.cfg", "--beside", "base.cfg", "--beside", f"{tmp_path}/other.cfg", "-o", page, code=1)
    head, _, rest = page.read_text().partition("<main>")
    assert head.count('</h1>\n<p class="wrong" role="alert">Verification failed: not equal: ') == 1
    assert rest.count('<p class="wrong">not equal: ') == 1


@pytest.mark.parametrize(
    ("models", "beside", "summary", "moved"),
    [
        (BOTH, PARTS, "text is frozen (k=4)", False),
        (PARTS, (), "text is frozen (k=4)", False),
        ([*PARTS, MORE], (), "text is frozen (k=4), more is frozen (k=1)", False),
        (BOTH, [base, retrained(base, tiny_text(1), "text", 1)], "text is not frozen (k=4)", True),
        (BOTH, [base, model(tiny_text(1).replace("leaky", "relu", 1), "text")], "text is not frozen (k=0)", False),
        ([base, classifier()], (), "test is not frozen (k=0)", False),
    ],
)
def test_the_trunk_is_compared_with_the_bases(models, beside, summary, moved):
    (found,) = (one for one in report(models, beside=beside).sections if one.title == "Trunk")
    assert (found.summary, "Tensors that moved" in found.body) == (summary, moved)


def test_a_sweep_is_shown_if_it_is_of_the_base(here, tmp_path, monkeypatch):
    monkeypatch.setattr("darkshare.choose_k.sweep.plot_sweep", lambda *_, **__: None)
    shares, trials = {0: (0.0, 0.0), 4: (0.4, 0.5)}, [result(0, 1, 0.5), result(4, 1, 0.46)]
    settings = {"weights": hashlib.sha256(Path("base.weights").read_bytes()).hexdigest()}
    write_results(tmp_path / "sweep", trials, choices(trials, shares), shares, settings, [])
    words = ["both.cfg", "--beside", "base.cfg", "--beside", "text.cfg", "--sweep", str(tmp_path / "sweep")]
    said = run("report", *words, "-o", tmp_path / "a.html", code=0).stdout
    assert "Sweep: 2 trainings for k=0, 4; k=4 saves 50.0% of the operations and loses 4.00 points of mAP\n" in said
    page = (tmp_path / "a.html").read_text()
    assert re.search(r"<code>darkshare report .* --sweep \S+/sweep -o ", page)
    assert f"<td>{tmp_path}/sweep/results.json</td>" in page
    assert '<td class="number" data-value="4.0">4</td>' in page  # lost
    refused = run("report", "text.cfg", "base.cfg", *words[-2:], "-o", "b.html", code=1).stderr
    assert "is a sweep from other weights than those of text.cfg" in refused


def test_a_merged_model_is_compared_as_split_would_write_its_networks(here):
    found = {one.title: one.command for one in report(load("both.cfg")).sections}
    parts = "parts/base.cfg parts/base.weights parts/text.cfg parts/text.weights"
    assert found["Savings"] == f"darkshare split both.cfg both.weights -o parts; darkshare savings {parts}"
    for line in "; ".join(found.values()).split("; "):
        run(*line.split()[1:], code=0)


def test_every_command_in_the_page_runs(here, data, monkeypatch):
    monkeypatch.setattr("darkshare.reporting.pictures.MOST", 1)
    how = {"beside": [load("base.cfg"), load("text.cfg")], "data": {"base": str(data)}}
    both = replace(load("both.cfg"), tasks=tuple(replace(t, names=("red", "blue")[: len(t.names)]) for t in BOTH.tasks))
    save(both, "named")
    found = report(load("named.cfg"), ["large.png", "small.png"], **how)
    assert [one.title for one in found.sections][-2:] == ["Detections", "Evaluation"]
    assert found.sections[-2].summary.endswith("in 1 picture, the first of more")
    assert found.sections[-1].summary.startswith("mAP@0.50 base ")
    assert "<h3>Worst errors of base (FP " in found.sections[-1].body
    assert 1 <= found.sections[-1].body.count("<img src=") <= 4  # of the pictures that were evaluated
    assert re.search(r'<span class="kind" style="border-color: rgb\(0, 114, 178\)">missed: (red|blue)', found.html())
    for one in found.sections:
        run(*one.command.split()[1:], code=0)
    found.write("again.html")
    line = re.findall(r"<code>(darkshare report [^<]+)</code>", (here / "again.html").read_text())[0]
    before = (here / "again.html").read_bytes()
    run(*line.split()[1:], code=0)
    assert (here / "again.html").read_bytes() == before


def test_pictures_that_a_classifier_takes_for_others_are_shown(tmp_path):
    paths = painted(tmp_path, [(200, 100, 0), (0, 200, 100)])
    data = ClassifiedDataset("set", ("blue", "green", "red"), tuple(map(Classified, paths, (2, 2))))
    found = report(colour_classifier(tmp_path), data=data).sections[-1]
    assert re.findall(r"<figcaption><b>([^<]+)</b><br>([^<]+) 0\.\d\d</fig", found.body) == [
        (str(paths[1]), "red, taken for green"),
    ]  # fmt: skip


def test_pictures_are_scaled_down_with_their_boxes(here):
    save(replace(base, tasks=(replace(base.tasks[0], names=("<b>", "b")),)), "odd")
    page = report(load("odd.cfg"), "large.png").html()
    ((data, width, height),) = re.findall(r'src="data:image/jpeg;base64,([^"]+)" width="(\d+)" height="(\d+)"', page)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (int(height), int(width), 3) == (600, 800, 3)
    assert re.search(r"<b>large.png</b><br>odd: \d+ (&lt;b&gt;|b)", page)
    assert "<b>" not in page.replace("<b>large.png", "")


def test_inputs_stand_with_their_size_and_hash(here):
    found = report(load("both.cfg"), "small.png")
    names = ["both.cfg", "both.weights", "both.names", "both.tasks.json", "small.png"]
    assert [name for name, *_ in found.inputs] == names
    for name, size, digest in found.inputs:
        content = (here / name).read_bytes()
        assert (size, digest) == (len(content), hashlib.sha256(content).hexdigest())
        assert digest in found.html()
    assert found.as_dict()["date"] == found.date == "1970-01-02"


def test_the_commands_say_how_the_models_were_read(here):
    run("report", "both.cfg", "--beside", "base.cfg", "--beside", "text.cfg", "--size", "64x32",
        "--dialect", "pjreddie", "-o", "sized.html", code=0)  # fmt: skip
    found = re.findall(r"<code>darkshare (\w+) .*?((?:--(?:dialect|size) \w+ ?)*)( -o sized.html)?</code>",
                       (here / "sized.html").read_text())  # fmt: skip
    how, unsized = "--dialect pjreddie --size 64x32", "--dialect pjreddie"
    assert {name: words for name, words, _ in found} == {
        "draw": how, "savings": how, "stats": unsized, "frozen": unsized, "verify": how, "report": how,
    }  # fmt: skip
    assert "64x32x3" in (here / "sized.html").read_text()


def test_the_parts_of_a_network_of_another_size_are_read_at_it(here):
    run("concat", "base.cfg", "text.cfg", "--k", 4, "--size", "64x32", "-o", "wide", code=0)
    run(
        "report",
        "wide.cfg",
        "--beside",
        "base.cfg",
        "--beside",
        "text.cfg",
        "--size",
        "64x32",
        "-o",
        "wide.html",
        code=0,
    )
    found = re.findall(r"<code>darkshare (\w+) (.*?)</code>", (here / "wide.html").read_text())
    assert {name for name, words in found if "--size 64x32" in words} == {"savings", "verify", "report"}


@pytest.mark.parametrize("epoch", ["soon", "1" * 20])
def test_a_date_that_is_none_is_refused(epoch, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(BadValue, match=f"SOURCE_DATE_EPOCH={epoch} is not a time"):
        report(base)


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (([],), BadArguments, "give a model"),
        ((PARTS, "x.png"), BadArguments, "are for one model: merge these first"),
        ((BOTH, "none.png"), DarkshareError, r"none\.png: cannot be read"),
        ((BOTH, []), None, ""),
        ((classifier(), "small.png"), DarkshareError, "classifies whole pictures and finds no boxes; leave the pict"),
    ],
)
def test_what_cannot_be_shown_is_refused(here, words, error, says):
    if error is None:
        assert "Detections" not in report(*words).summary()
        return
    with pytest.raises(error, match=says):
        report(*words)


def test_other_networks_than_the_parts_are_refused():
    with pytest.raises(ShapeMismatch, match="give all that it was made of"):
        report(BOTH, beside=base)


def test_the_command_says_what_it_found(here):
    result = run("report", "both.cfg", "small.png", "-o", "a.html", code=0)
    lines = result.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["Drawing", "Savings", "Differences", "Detections"]
    assert result.stderr == "wrote a.html\n"
    found = json.loads(run("report", "base.cfg", "-o", "b.html", "--format", "json", code=0).stdout)
    assert found["written"] == ["b.html"]
    assert [row["section"] for row in found["rows"]] == ["Drawing", "Savings"]
    assert "give the .cfg that" in run("report", "small.png", "base.weights", "-o", "b.html", code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize("models", [["both.cfg"], ["base.cfg", "text.cfg"]])
def test_the_benchmark_is_shown_when_asked_for(here, models):
    run("report", *models, "--bench", "-o", "bench.html", code=0)
    assert "Alone: <code>darkshare bench " in (here / "bench.html").read_text()


# Sorts a table by its last heading, goes from a layer to its row and back, filters rows and with them the boxes of the
# figures, enlarges a figure, and looks whether anything is wider than the screen.
LOOK = """
    const heading = [...page.querySelectorAll("#savings th button")].at(-1);
    heading.click();
    drawing.querySelector('[data-place="2"]').focus();
    const seen = {sorted: heading.parentElement.getAttribute("aria-sort")};
    seen.panel = page.getElementById("details").textContent;
    const rows = () => [...page.querySelectorAll("tr.chosen")].map((row) => row.id);
    seen.shared = rows();
    const row = page.getElementById("row-0-4-4-weights");
    drawing.querySelector(`[data-place="${row.dataset.place.split(" ")[0]}"]`).focus();
    seen.branch = rows();
    page.activeElement.dispatchEvent(new view.KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
    seen.row = page.querySelector(":target").id;
    row.querySelector("a").click();
    seen.back = page.activeElement.dataset.place === row.dataset.place.split(" ")[0];
    const filter = page.querySelector("#differences input");
    filter.value = "4 WEIGHTS";
    filter.dispatchEvent(new view.Event("input"));
    seen.left = [...page.querySelectorAll("#differences tbody tr:not([hidden])")].map((row) => row.id);
    seen.sharp = [...page.querySelectorAll("svg g:not(.faded) > a")].map((box) => box.getAttribute("href"));
    seen.count = page.querySelector("#differences output").value;
    const figure = page.querySelector("#differences .figure svg"), width = figure.getBoundingClientRect().width;
    page.querySelector("#differences .zoom button").click();
    seen.larger = figure.getBoundingClientRect().width / width;
    seen.fits = page.documentElement.scrollWidth <= view.innerWidth;
    seen.pictures = [...page.images].map((one) => one.naturalWidth);
    return seen;
"""


@pytest.mark.slow
@needs_browser
def test_a_real_browser_shows_it_on_a_desk_a_phone_and_paper(page, tmp_path):
    rows = page.count('<tr id="row-')
    for seen in seen_in_frames(page, LOOK, tmp_path):
        assert seen.pop("panel").startswith("layer 2 shortcut")
        assert seen.pop("larger") == pytest.approx(1.5, abs=0.01)
        assert seen.pop("branch")[:2] == ["layer-14", "row-0-4-4-biases"]
        assert seen == {
            "sorted": "ascending", "fits": True, "pictures": [800], "shared": ["layer-2"], "row": "row-0-4-4-biases",
            "back": True, "left": ["row-0-4-4-weights"], "sharp": ["#row-0-4-4-weights"] * 2, "count": f"1 of {rows}",
        }  # fmt: skip
    assert pages_when_printed(tmp_path / "page.html", tmp_path) <= 7  # none is all but empty
