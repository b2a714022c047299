"""The command that helps where a trunk is not the base's, and what comes of following it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import TRAINABLE, needs_torch, network_of, run, seeded_floats, tiny_text, write_model, zoo_path
from models import model

from darkshare.darknet.model import load
from darkshare.errors import TrunkMismatch
from darkshare.surgery.mismatch import deepest_cut
from darkshare.surgery.splice import concat


def advice(*words: object) -> list[str]:
    """The words of the command that a refused command advises."""
    result = run(*words, code=1)
    assert result.stderr.count("\n") == 1
    return shlex.split(result.stderr.partition("; next: darkshare ")[2])


def changed(base: Path, name: str, change) -> Path:
    """A further network whose tensors were changed by `change(layer, name, values)`; its weights are the base's."""
    text = base.read_text()
    network, floats = network_of(text), np.fromfile(base.with_suffix(".weights"), "<f4", offset=20)
    for layer in network.layers:
        begin = layer.start
        for tensor in layer.tensors:
            change(layer.index, tensor.name, floats[begin : begin + tensor.size])
            begin += tensor.size
    return write_model(base.with_name(name), text, floats, names=("cat", "dog"))


def trained(layer, name, values):
    values += np.random.default_rng(layer).normal(0, 0.05, values.size).astype("<f4")


def drifted(layer, name, values):
    if name.endswith(("rolling_mean", "rolling_variance")):
        values *= 1.1


def leaked_last(layer, name, values):
    if layer == 4:
        values *= np.float32(0.9) if name.endswith("weights") else 1


def test_a_trained_trunk_is_trained_anew_from_the_base(base, tmp_path):
    other = changed(base, "it's text.cfg", trained)
    words = advice("concat", base, other, "--k", 4)
    expected = ["train", base, base.with_suffix(".weights"), "DATA.data", "--k", 4, "--epochs", 30]
    assert words == [*map(str, expected), "--batch", "64", "--subdivisions", "8", "-o", "it's text-k4"]
    assert "--force merges on a trunk that it was not trained for" in run("concat", base, other, code=1).stderr


def test_the_data_is_what_the_network_was_trained_on_where_that_is_known(base, data):
    other = changed(base, "text", trained)
    assert "DATA.data" in advice("concat", base, other, "--k", 4)
    other.with_suffix(".data").write_text("classes=2\nnames=text.names\n")
    assert "DATA.data" in advice("concat", base, other, "--k", 4)
    other.with_suffix(".data").write_text(data.read_text())
    assert str(other.with_suffix(".data")) in advice("concat", base, other, "--k", 4)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_advised_training_makes_a_pair(base, data, tmp_path, monkeypatch):
    needs_torch()
    monkeypatch.chdir(tmp_path)
    other = changed(base, "text", trained)
    words = advice("concat", base, other)
    words[words.index("DATA.data")] = str(data)
    words[words.index("30")] = "1"
    run(*words, "--threads", 1, code=0)
    run("concat", base, f"{words[-1]}.cfg", "--k", words[words.index("--k") + 1], "-o", "both", code=0)


def test_drifted_statistics_are_put_back(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = changed(base, "text", drifted)
    words = advice("concat", base, other, "--k", 4)
    assert words[0] == "snap"
    run(*words, code=0)
    run("concat", base, "text-snapped.cfg", "--k", 4, "-o", "both", code=0)


def test_a_smaller_k_is_named_where_only_the_last_layer_moved(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = advice("concat", base, changed(base, "text", leaked_last), "--k", 5)
    assert words[0] == "concat"
    assert words[words.index("--k") + 1] == "4"
    run(*words, code=0)


def test_the_dialect_is_part_of_the_command(base):
    words = advice("concat", base, changed(base, "text", trained), "--k", 4, "--dialect", "pjreddie")
    assert words[-2:] == ["--dialect", "pjreddie"]


def test_networks_of_other_structure_are_trained_anew(base, tmp_path):
    text = TRAINABLE.replace("filters=8", "filters=6")
    other = write_model(tmp_path / "other", text, seeded_floats(network_of(text), 1))
    for given, k in ((["--k", 3], "3"), ([], str(deepest_cut(load(base), 99)))):
        words = advice("concat", base, other, *given)
        assert words[0] == "train"
        assert words[words.index("--k") + 1] == k


def test_a_merged_base_is_taken_apart_first(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("concat", base, base, "--k", 4, "-o", "both", code=0)
    words = advice("concat", "both.cfg", changed(base, "text", trained), "--k", 4)
    assert words[:2] == ["split", "both.cfg"]
    run(*words, code=0)


def test_models_from_memory_get_placeholders():
    base, other = model(tiny_text(2)), model(tiny_text(2), "other", seed=9)
    base = replace(base, weights=replace(base.weights, path=""))
    with pytest.raises(TrunkMismatch, match=r"next: darkshare train test.cfg MODEL.weights DATA.data --k 4 "):
        concat([base, other], 4)


@pytest.mark.zoo
@pytest.mark.parametrize("given", [[], ["--k", 109]])
@pytest.mark.parametrize("other", ["f10-voc", "f10-mask-a", "f11-plate", "xl10-coco"])
def test_real_pairs(other, given):
    base, other = (zoo_path("models", name, f"{name}.cfg") for name in ("f10-coco", other))
    words = advice("concat", base, other, *given)
    assert words[:6] == ["train", str(base), str(base.with_suffix(".weights")), "DATA.data", "--k", "109"]


def test_the_deepest_cut_is_the_end_of_a_block_below_the_first_head():
    one = model(tiny_text(2))
    assert deepest_cut(one, 99) == 4
    assert deepest_cut(one, 3) == 3
    assert deepest_cut(one, 2) == 2
    assert deepest_cut(one, 0) is None
