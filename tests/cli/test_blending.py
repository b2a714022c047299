"""`mix` and `snap` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import network_of, run, seeded_floats, tiny_text, write_model

from darkshare.darknet.model import load
from darkshare.darknet.weights import Header


def values(cfg: Path) -> np.ndarray:
    return np.fromfile(cfg.with_suffix(".weights"), "<f4", offset=20)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """base.cfg with 2 classes and text.cfg with 1, whose first 4 layers drifted as in a leaky freeze."""
    a, b = network_of(tiny_text(2)), network_of(tiny_text(1))
    floats, own = seeded_floats(a, 1), seeded_floats(b, 2)
    own[: b.start(4)] = floats[: a.start(4)]
    for layer in b.layers[:2]:
        own[layer.start + 16 : layer.start + 32] *= np.float32(1.5)  # behind 8 biases and 8 scales
    base = write_model(tmp_path / "base", tiny_text(2), floats, names=("car", "bus"))
    text = write_model(tmp_path / "text", tiny_text(1), own, header=Header(seen=640), names=("text",))
    return base, text


def test_mix_up_to_k(pair, tmp_path):
    base, text = pair
    result = run("mix", base, text, "--k", 4, "-o", tmp_path / "out" / "mixed")
    assert result.exit_code == 0, result.output
    mixed, start = tmp_path / "out" / "mixed.cfg", network_of(tiny_text(2)).start(4)
    assert values(mixed).tobytes() == values(base)[:start].tobytes() + values(text)[start:].tobytes()
    assert mixed.read_bytes() == text.read_bytes()
    assert mixed.with_suffix(".names").read_text() == "text\n"
    assert load(mixed).weights.header == Header(seen=0)
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["layers", "0-1", "4-11"]
    assert result.stderr.startswith(f"wrote {mixed}")


def test_mix_by_a_recipe(pair, tmp_path):
    base, text = pair
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"alpha": 0.25, "rules": [{"layers": "5-6,11-12", "alpha": 1}, {"layers": "0-1", "alpha": 0}]}')
    result = run("mix", *pair, "--recipe", recipe, "-o", tmp_path / "mixed", "--format", "json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [(row["layers"], row["alpha"], row["method"]) for row in rows] == [
        ("0-1", 0, "copy"),
        ("4, 8", 0.25, "linear"),
        ("5, 11", 1, "copy"),
    ]
    mixed, first = values(tmp_path / "mixed.cfg"), network_of(tiny_text(2)).layers[4]
    place = slice(first.start, first.stop)
    assert mixed[place] == pytest.approx(0.75 * values(base)[place] + 0.25 * values(text)[place], abs=1e-6)


def test_one_cfg_with_two_weights(pair, tmp_path):
    base, _ = pair
    second = tmp_path / "second.weights"
    floats = seeded_floats(network_of(tiny_text(2)), 5)
    second.write_bytes(Header().to_bytes("alexeyab") + floats.tobytes())
    weights = base.with_suffix(".weights")
    how = ("--alpha", 0.5, "--space", "folded", "--method", "slerp", "-o", tmp_path / "average")
    result = run("mix", base, weights, second, *how)
    assert result.exit_code == 0, result.output
    assert result.stdout.split().count("slerp") == 1
    assert load(tmp_path / "average.cfg").loaded == 13


def test_what_differs_is_said_in_one_line_and_nothing_is_written(pair, tmp_path):
    before = set(tmp_path.iterdir())
    result = run("mix", *pair, "--alpha", 0.5, "-o", tmp_path / "mixed")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert "layers 5-6, 11-12 are not the base's" in result.stderr
    assert set(tmp_path.iterdir()) == before


def test_a_wrong_recipe_is_named(pair, tmp_path):
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"alpha": 0.5, "rules": [{"layers": "200-300", "alpha": 1}]}')
    result = run("mix", *pair, "--recipe", recipe, "-o", tmp_path / "mixed")
    assert result.stderr == f"Error: {recipe}: rule 1 names layer 300, the last is 12\n"
    assert run("mix", *pair, "--recipe", tmp_path / "none.json").exit_code == 1


@pytest.mark.parametrize("command", ["mix", "snap"])
def test_inputs_are_never_replaced(pair, tmp_path, command):
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    result = run(command, *pair, "--k", 4, "-o", tmp_path / "text")
    assert (result.exit_code, "is one of the inputs" in result.stderr) == (1, True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("command", ["mix", "snap"])
def test_two_models_are_wanted(pair, command):
    for files in (pair[:1], (*pair, pair[0])):
        result = run(command, *files, "--k", 4)
        assert (result.exit_code, "give two models, the base first" in result.stderr) == (2, True)


@pytest.mark.parametrize("how", [["--alpha", "2"], ["--alpha", "x"], ["--method", "x"], ["--space", "x"], ["--k", "x"]])
def test_wrong_usage(pair, how):
    assert run("mix", *pair, *how).exit_code == 2


def test_mix_needs_to_know_how_much(pair):
    result = run("mix", *pair)
    assert (result.exit_code, "say how much to take" in result.stderr) == (1, True)


def test_snap_finds_the_trunk_and_says_what_had_moved(pair, tmp_path):
    base, text = pair
    result = run("snap", *pair, "-o", tmp_path / "snapped")
    assert result.exit_code == 0, result.output
    table, note = result.stdout.split("\n\n")
    assert [line.split()[:3] for line in table.splitlines()] == [
        ["layer", "kind", "tensor"],
        *([str(i), "convolutional", f"rolling_{name}"] for i in (0, 1) for name in ("mean", "variance")),
    ]
    assert "k=4: put the base's trunk back; layers 0..3 are not the base's: 4 of 10 tensors differ" in note
    assert "only rolling statistics drifted" in note
    snapped, start = tmp_path / "snapped.cfg", network_of(tiny_text(2)).start(4)
    assert values(snapped).tobytes() == values(base)[:start].tobytes() + values(text)[start:].tobytes()
    assert snapped.read_bytes() == text.read_bytes()
    assert load(snapped).weights.header.seen == 640
    merged = run("concat", base, snapped, "--k", 4, "-o", tmp_path / "both")
    assert merged.exit_code == 0, merged.output


def test_snapping_what_was_never_moved(pair, tmp_path):
    run("snap", *pair, "-o", tmp_path / "once")
    again = run("snap", pair[0], tmp_path / "once.cfg", "-o", tmp_path / "twice", "--format", "json")
    found = json.loads(again.stdout)
    assert found["rows"] == []
    assert "already identical" in found["notes"][0]
    for suffix in (".cfg", ".weights", ".names"):
        assert (tmp_path / f"twice{suffix}").read_bytes() == (tmp_path / f"once{suffix}").read_bytes()


def test_a_partial_base(pair, tmp_path):
    base, text = pair
    run("cut", base, "--k", 4)
    whole = run("snap", *pair, "--k", 4, "-o", tmp_path / "a")
    part = run("snap", base, tmp_path / "base.conv.4", text, "--k", 4, "-o", tmp_path / "b")
    assert (part.exit_code, part.stdout) == (0, whole.stdout)
    assert (tmp_path / "a.weights").read_bytes() == (tmp_path / "b.weights").read_bytes()
    beyond = run("snap", base, tmp_path / "base.conv.4", text, "--k", 5, "-o", tmp_path / "c")
    assert (beyond.exit_code, "ends before layer 4" in beyond.stderr) == (1, True)


def test_numbers_that_are_none_are_no_broken_json(pair, tmp_path):
    """A base tensor of zeros has no relative difference."""
    base, _ = pair
    floats = values(base)
    floats[:8] = 0  # layer 0's biases
    base.with_suffix(".weights").write_bytes(Header().to_bytes("alexeyab") + floats.tobytes())
    result = run("snap", *pair, "--k", 4, "-o", tmp_path / "snapped", "--format", "json")
    first = json.loads(result.stdout, parse_constant=pytest.fail)["rows"][0]
    assert (first["tensor"], first["relative"]) == ("biases", None)
