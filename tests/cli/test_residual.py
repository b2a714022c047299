"""`reduce` and `branch` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import run, zoo_path
from residuals import small_resnet

from darkshare.darknet.model import load, save


@pytest.fixture
def net(tmp_path: Path) -> Path:
    save(small_resnet(), tmp_path / "net")
    return tmp_path / "net.cfg"


@pytest.fixture
def small(net: Path) -> Path:
    assert run("reduce", net, "-o", net.with_name("small")).exit_code == 0
    return net.with_name("small.cfg")


def test_reduce_says_what_it_saves_and_writes_a_model(net):
    result = run("reduce", net, "--keep", "1,1,1,1", "-o", net.with_name("small"))
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["before", "after", "times", "fewer"]
    assert lines[1][:3] == ["layers", "37", "32"]
    assert [line[0] for line in lines[1:]] == ["layers", "params", "BFLOPs"]
    assert "wrote " in result.stderr
    assert load(net.with_name("small.cfg")).loaded == 32


def test_reduce_lists_blocks(net):
    result = run("reduce", net, "--list", "--format", "json")
    rows = json.loads(result.stdout)["rows"]
    assert [row["stage"] for row in rows] == [1, 1, 2, 2, 2, 3, 3, 4]
    assert rows[0]["can go"] == "no: it makes 16x16x32 of 16x16x8"
    assert rows[1]["can go"] == "yes"
    assert {path.name for path in net.parent.iterdir()} == {"net.cfg", "net.weights", "net.names", "net.data"}


def test_reduce_without_output_writes_nothing(net):
    before = set(net.parent.iterdir())
    result = run("reduce", net, "--no-explicit")
    assert result.exit_code == 0
    assert "Note: " in result.stderr
    assert "only pjreddie's Darknet" in result.stderr
    assert "nothing was written; say where with -o" in result.stderr
    assert set(net.parent.iterdir()) == before


def test_inputs_are_not_replaced(net, small):
    branch = ["branch", small, "--after", 14, "-m", 2, "--tolerance", "900%", "-o", small]
    for path, words in ((net, ["reduce", net, "-o", net.with_suffix("")]), (small, branch)):
        before = path.read_bytes()
        result = run(*words)
        assert result.exit_code == 1, result.output
        assert "is one of the inputs" in result.stderr
        assert path.read_bytes() == before


def test_branch_and_take_a_branch_out(small):
    stem = small.with_name("ensemble")
    result = run("branch", small, "--after", "block 2", "-m", 3, "--tolerance", "3%", "-o", stem)
    assert result.exit_code == 0, result.output
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()[1:4]}
    assert rows["layers"][1:3] == ["32", "74"]
    assert 0.97 < float(rows["params"][-1]) < 1.03
    assert "\nshared: layers 0..14; 3 branches of widths " in result.stdout
    tasks = json.loads(small.with_name("ensemble.tasks.json").read_text())["tasks"]
    assert [(task["name"], task["k"], task["ensemble"]) for task in tasks] == [
        ("small", 0, "small"),
        *((f"small-{n}", 15, "small") for n in (1, 2, 3)),
    ]
    assert run("check", f"{stem}.cfg").exit_code == 0
    assert run("split", f"{stem}.cfg", "--task", "small-2", "-o", small.parent / "apart").exit_code == 0
    assert len(load(small.parent / "apart" / "small-2.cfg").network.layers) == 32


def test_an_ensemble_is_laid_out_anew(small):
    stem = small.with_name("ensemble")
    words = ["--after", 14, "-m", 3, "--tolerance", "3%"]
    assert run("branch", small, *words, "-o", stem).exit_code == 0
    result = run("branch", f"{stem}.cfg", "--layout", "grouped", "-o", small.with_name("lean"))
    assert result.exit_code == 0, result.output
    assert run("branch", small, *words, "--layout", "grouped", "-o", small.with_name("direct")).exit_code == 0
    for suffix in (".cfg", ".weights", ".names"):
        assert small.with_name(f"lean{suffix}").read_bytes() == small.with_name(f"direct{suffix}").read_bytes()
    for wrong in ([small], [f"{stem}.cfg", "-m", 3]):
        assert "give --after and -m; or an ensemble" in run("branch", *wrong).stderr


def test_the_widths_that_it_prints_give_the_same_again(small):
    first = run("branch", small, "--after", 14, "-m", 3, "--tolerance", "0.03", "-o", small.with_name("a"))
    widths = first.stdout.split("widths ")[1].split()[0]
    second = run("branch", small, "--after", 14, "-m", 3, "--widths", widths, "-o", small.with_name("b"))
    assert second.exit_code == 0, second.output
    assert first.stdout == second.stdout
    for suffix in (".cfg", ".weights"):
        assert small.with_name(f"a{suffix}").read_bytes() == small.with_name(f"b{suffix}").read_bytes()


def test_widths_of_a_step_give_the_same_again_with_it(small):
    how = ("--after", 14, "-m", 3, "--step", 4)
    first = run("branch", small, *how, "--tolerance", "20%", "-o", small.with_name("a"))
    widths = first.stdout.split("widths ")[1].split()[0]
    second = run("branch", small, *how, "--widths", widths, "-o", small.with_name("b"))
    assert (second.exit_code, first.stdout) == (0, second.stdout)


def test_json_holds_what_text_says_in_a_line(small):
    result = run("branch", small, "--after", 14, "-m", 3, "--widths", "16,32", "--format", "json")
    rows = {row.pop("quantity"): row for row in json.loads(result.stdout)["rows"]}
    assert rows["shared layers"]["after"] == 15
    assert rows["branches"] == {"before": 1, "after": 3, "ratio": 3}
    assert [rows[f"width {i}"]["after"] for i in (1, 2)] == [16, 32]


def test_an_ensemble_is_laid_out_anew_at_the_size_it_was_made_for_and_nothing_else(small):
    stem = small.with_name("ensemble")
    run("branch", small, "--size", 96, "--after", 14, "-m", 2, "--widths", "16,32", "-o", stem)
    again = run("branch", f"{stem}.cfg", "--layout", "grouped", "-o", small.with_name("lean"))
    assert again.exit_code == 0, again.output
    assert load(small.with_name("lean.cfg")).network.input.w == 96
    assert load(run("split", f"{stem}.cfg", "-o", small.with_name("apart")).stdout.split()[0]).network.input.w == 96
    for words in (["--init", "random"], ["--widths", "4,4"], ["--seed", 3], ["--tolerance", "2%"]):
        result = run("branch", f"{stem}.cfg", *words)
        assert (result.exit_code, f"{words[0]}: an ensemble is only laid out" in result.stderr) == (2, True)
    merged = small.with_name("merged")
    assert run("concat", f"{stem}.cfg", small, "--size", 96, "-o", merged).exit_code == 0
    result = run("branch", f"{merged}.cfg", "--layout", "grouped")
    assert (result.exit_code, "does other tasks beside one ensemble's" in result.stderr) == (1, True)
    assert run("reduce", f"{stem}.cfg", "--list").exit_code == 1


def test_a_tolerance_that_is_not_met_names_one_that_is(small):
    result = run("branch", small, "--after", 14, "-m", 8, "--tolerance", "0.01%", "-o", small.with_name("a"))
    assert result.exit_code == 1
    wanted = result.stderr.split("--tolerance ")[1].split("%")[0]
    again = run("branch", small, "--after", 14, "-m", 8, "--tolerance", f"{wanted}%", "-o", small.with_name("a"))
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tolerance", "much"], "is not a share; write 1% or 0.01"),
        (["--tolerance", "2"], "is not a share"),
        (["--tolerance", "-1%"], "is not a share"),
        (["--widths", "a,b"], "is not a list of whole numbers; write 0,41,74"),
        (["--match", "flops"], "'flops' is not one of"),
    ],
)
def test_options_that_mean_nothing(small, words, says):
    result = run("branch", small, "--after", 14, "-m", 2, *words)
    assert (result.exit_code, says in result.stderr) == (2, True)


def test_recalibrated_on_pictures(net, tmp_path):
    pytest.importorskip("torch", reason="recalibration needs PyTorch; pip install 'darkshare[train]'")
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    small, ensemble = tmp_path / "small", tmp_path / "ensemble"
    assert run("reduce", net, "--recalibrate-bn", folder, "-o", small).exit_code == 0
    plain = run("reduce", net, "-o", tmp_path / "plain")
    assert plain.exit_code == 0
    a, b = load(f"{small}.cfg").tensors(0), load(tmp_path / "plain.cfg").tensors(0)
    assert not np.array_equal(a["rolling_mean"], b["rolling_mean"])
    np.testing.assert_array_equal(a["weights"], b["weights"])
    words = ["--after", "block 2", "-m", 2, "--tolerance", "5%", "--init", "rrr"]
    done = run("branch", f"{small}.cfg", *words, "--recalibrate-bn", folder / "*.png", "-o", ensemble)
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(load(f"{ensemble}.cfg").tensors(0)["rolling_mean"], a["rolling_mean"])


def test_pictures_that_are_none(net, tmp_path):
    pytest.importorskip("torch", reason="recalibration needs PyTorch; pip install 'darkshare[train]'")
    (tmp_path / "pictures.txt").write_text("photo.jpg\n")
    result = run("reduce", net, "--recalibrate-bn", tmp_path / "pictures.txt", "-o", tmp_path / "small")
    assert result.exit_code == 1
    assert "photo.jpg" in result.stderr
    assert not (tmp_path / "small.cfg").exists()


@pytest.mark.zoo
def test_the_shipped_resnet152(tmp_path):
    path = zoo_path("zoo", "pjreddie", "resnet152.cfg")
    result = run("reduce", path, "--dialect", "pjreddie", "--keep", "1,1,1,1", "-o", tmp_path / "small")
    assert result.exit_code == 0, result.output
    assert [line.split()[1:3] for line in result.stdout.splitlines()[1:3]] == [
        ["205", "32"],
        ["57559976", "10072744"],
    ]
