"""`concat`, `split` and `cut` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import residuals
from conftest import network_of, run, seeded_floats, tiny_text, write_model, zoo_path

from darkshare.darknet.model import load, save, without_branch_tasks
from darkshare.darknet.weights import Header
from darkshare.surgery.residual import branch


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """base.cfg with 2 classes, text.cfg with 1, the same floats below layer 4."""
    a, b = network_of(tiny_text(2)), network_of(tiny_text(1))
    floats, own = seeded_floats(a, 1), seeded_floats(b, 2)
    own[: b.start(4)] = floats[: a.start(4)]
    base = write_model(tmp_path / "base", tiny_text(2), floats, names=("car", "bus"))
    text = write_model(tmp_path / "text", tiny_text(1), own, header=Header(seen=640), names=("text",))
    return base, text


def test_concat_writes_five_files_and_says_what_was_saved(pair, tmp_path):
    result = run("concat", *pair, "--k", 4, "-o", tmp_path / "out" / "both")
    assert result.exit_code == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        f"both{s}" for s in (".cfg", ".weights", ".names", ".data", ".tasks.json")
    }
    assert result.stdout.splitlines()[1].split()[:3] == ["layers", "26", "23"]
    assert result.stdout.endswith("\n\ntext k=4\n")
    assert "Note: the heads have 1 and 2 classes" in result.stderr
    assert (tmp_path / "out" / "both.names").read_text() == "car\nbus\ntext\n"
    assert (tmp_path / "out" / "both.data").read_text() == "classes=3\nnames=both.names\nbackup=backup\n"
    tasks = json.loads((tmp_path / "out" / "both.tasks.json").read_text())["tasks"]
    assert [(t["name"], t["k"], t["classes"]) for t in tasks] == [("base", 0, ["car", "bus"]), ("text", 4, ["text"])]
    assert all(len(t["fingerprints"]["weights"]) == len("sums:") + 64 for t in tasks)


def test_json_is_alone_on_stdout(pair, tmp_path):
    result = run("concat", *pair, "--k", 4, "-o", tmp_path / "both", "--format", "json")
    found = json.loads(result.stdout)
    assert [row["quantity"] for row in found["rows"]] == ["layers", "params", "BFLOPs", "file bytes"]
    assert found["notes"] == ["text k=4"]


def test_verify_proves_what_is_written_and_says_so(pair, tmp_path):
    result = run("concat", *pair, "--k", 4, "-o", tmp_path / "both", "--verify", code=0)
    assert result.stdout.endswith("\n\ntext k=4\n")
    assert "\nequal: 4 heads, in every number\n8 random pictures of seed 0, opencv " in f"\n{result.stderr}"
    assert (tmp_path / "both.tasks.json").exists()
    result = run("concat", *pair, "--k", 4, "-o", tmp_path / "both", "--verify", "--format", "json", code=0)
    assert "saved" in json.loads(result.stdout)["rows"][0]


def test_verify_leaves_nothing_of_a_merger_that_is_not_equal(pair, tmp_path):
    """With --force text's branch runs on base's layer 4, which is not the one that it was trained with."""
    words = ["concat", *pair, "--k", 5, "--force", "--verify", "-o", tmp_path / "out" / "both"]
    result = run(*words, code=1)
    assert result.stderr.splitlines()[-1] == (
        "Error: the merged network gives other numbers than the networks; nothing was written"
    )
    shown = result.stdout.splitlines()
    assert [line.split()[-1] for line in shown[:5]] == ["equal", "yes", "yes", "no", "no"]
    assert shown[6] == "not equal: 2 of 4 heads differ in some number"
    assert max(map(len, shown)) <= 80
    assert not (tmp_path / "out").exists()
    run("concat", *pair, "--k", 5, "--force", "-o", tmp_path / "out" / "both", code=0)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    found = json.loads(run(*words, "--format", "json", code=1).stdout)
    assert (found["equal"], [row["equal"] for row in found["rows"]]) == (False, [True, True, False, False])
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_verify_of_concat_takes_pictures(pair, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 7), np.uint8))
    result = run("concat", *pair, "--k", 4, "--verify", "--images", tmp_path / "a.png", "-o", tmp_path / "both", code=0)
    assert "\n1 picture, opencv" in result.stderr
    assert "--images is for --verify" in run("concat", *pair, "--images", tmp_path, code=2).stderr


def test_split_gives_the_same_bytes_back(pair, tmp_path):
    run("concat", *pair, "--k", 4, "-o", tmp_path / "both")
    result = run("split", tmp_path / "both.cfg", "-o", tmp_path / "apart")
    assert result.exit_code == 0, result.output
    for path in pair:
        for suffix in (".weights", ".names"):
            again = (tmp_path / "apart" / path.name).with_suffix(suffix)
            assert again.read_bytes() == path.with_suffix(suffix).read_bytes()
    assert not list((tmp_path / "apart").glob("*.tasks.json"))


def test_one_task_of_a_merged_model(pair, tmp_path):
    run("concat", *pair, "--k", 4, "-o", tmp_path / "both")
    run("split", tmp_path / "both.cfg", "-o", tmp_path / "apart", "--task", "text")
    assert {p.stem for p in (tmp_path / "apart").iterdir()} == {"text"}


def test_three_networks_with_a_k_each(pair, tmp_path):
    base, text = pair
    result = run(
        "concat", base, text, base, "--k", 4, "--k", 3, "-o", tmp_path / "all", "--name", "a", *names("b", "c")
    )
    assert result.exit_code == 0, result.output
    assert [(t.name, t.k) for t in load(tmp_path / "all.cfg").tasks] == [("a", 0), ("b", 4), ("c", 3)]


def test_ensembles_are_merged_and_taken_out_as_a_whole(tmp_path):
    small = residuals.small_darknet()
    save(small, tmp_path / "net")
    save(branch(small, "block 2", 2, tolerance=1.0), tmp_path / "votes")
    result = run("concat", tmp_path / "net.cfg", tmp_path / "votes.cfg", "--k", 3, "--verify", "-o", tmp_path / "both")
    assert result.exit_code == 0, result.output
    assert "\nequal: 4 heads, in every number\n" in f"\n{result.stderr}"  # net's, the vote's and its branches'
    assert result.stdout.endswith("\n\nnet-2 k=3\n")  # not a k for each branch
    result = run("split", tmp_path / "both.cfg", "-o", tmp_path / "apart")
    assert result.exit_code == 0, result.output
    files = {path.name for path in (tmp_path / "apart").iterdir()}
    assert {name for name in files if name.endswith(".json")} == {"net-2.tasks.json"}
    assert {f"{name}.cfg" for name in ("net", "net-2", "net-2-1", "net-2-2")} <= files
    again = load(tmp_path / "apart" / "net-2.cfg")
    assert [task.name for task in without_branch_tasks(again).tasks] == ["net-2"]
    assert (tmp_path / "apart" / "net-2.weights").read_bytes() == (tmp_path / "votes.weights").read_bytes()


def names(*values: str) -> list[str]:
    return [part for value in values for part in ("--name", value)]


def test_without_k_the_trunk_is_found(pair, tmp_path):
    result = run("concat", *pair, "-o", tmp_path / "both")
    assert "\ntext k=4\n" in result.stdout


def test_cfg_only(pair, tmp_path):
    for path in pair:
        path.with_suffix(".weights").unlink()
    result = run("concat", *pair, "--k", 4, "-o", tmp_path / "both")
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "both.weights").exists()


def test_another_size(pair, tmp_path):
    base, text = pair
    text.write_text(tiny_text(1).replace("width=32", "width=64"))
    result = run("concat", base, text, "--k", 4, "-o", tmp_path / "both")
    assert (result.exit_code, "choose one for both with --size" in result.stderr) == (1, True)
    result = run("concat", base, text, "--k", 4, "-o", tmp_path / "both", "--size", "64x96")
    assert result.exit_code == 0, result.output
    assert load(tmp_path / "both.cfg").network.input == (3, 96, 64, 0)
    run("split", tmp_path / "both.cfg", "-o", tmp_path / "apart")
    assert load(tmp_path / "apart" / "text.cfg").network.input == (3, 32, 64, 0)


def test_inputs_are_never_replaced(pair, tmp_path):
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    result = run("concat", *pair, "--k", 4, "-o", tmp_path / "text")
    assert result.exit_code == 1
    assert "is one of the inputs" in result.stderr
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_error_is_one_line_and_writes_nothing(pair, tmp_path):
    base, text = pair
    text.with_suffix(".weights").write_bytes(text.with_suffix(".weights").read_bytes()[:-4])
    before = set(tmp_path.iterdir())
    result = run("concat", base, text, "--k", 4, "-o", tmp_path / "both")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "ends inside layer 11 [convolutional] 'weights'" in result.stderr
    assert set(tmp_path.iterdir()) == before


def test_cut_writes_the_partial_file_of_darknet(pair, tmp_path):
    base, _ = pair
    result = run("cut", base, "--k", 5)
    assert result.stdout.strip() == str(tmp_path / "base.conv.5")
    floats = np.fromfile(tmp_path / "base.conv.5", "<f4", offset=20)
    whole = np.fromfile(base.with_suffix(".weights"), "<f4", offset=20)
    assert np.array_equal(floats, whole[: network_of(tiny_text(2)).start(5)])


def test_a_partial_file_can_be_cut_again(pair, tmp_path):
    base, _ = pair
    run("cut", base, "--k", 5)
    run("cut", base, "--k", 4)
    result = run("cut", base, tmp_path / "base.conv.5", "--k", 4, "-o", tmp_path / "four")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "four").read_bytes() == (tmp_path / "base.conv.4").read_bytes()


def test_a_full_cut_for_another_cfg_loads_there(pair, tmp_path):
    base, text = pair
    out = tmp_path / "start.weights"
    result = run("cut", base, "--k", 4, "--full", "--for", text, "-o", out)
    assert result.exit_code == 0, result.output
    assert load(text, out).loaded == 13


def test_one_model_only(pair):
    result = run("split", *pair)
    assert (result.exit_code, "give one model; 2 were given" in result.stderr) == (2, True)


@pytest.mark.zoo
def test_real_partial_files_are_prefixes(tmp_path):
    """The file that a real `darknet partial ... 109` wrote is what `cut` writes."""
    cfg = zoo_path("models", "f10-coco", "f10-coco.cfg")
    real = zoo_path("models", "f10-conv109", "f10-conv109.weights")
    run("cut", cfg, "--k", 109, "-o", tmp_path / "conv.109")
    assert (tmp_path / "conv.109").read_bytes() == real.read_bytes()


@pytest.mark.zoo
def test_the_real_frozen_pair_round_trips(tmp_path):
    base = zoo_path("models", "f10-coco", "f10-coco.cfg")
    masks = zoo_path("models", "f10-mask-frozen-exact-made", "f10-mask-frozen-exact-made.cfg")
    result = run("concat", base, masks, "-o", tmp_path / "both", "--name", "coco", "--name", "masks")
    assert "\nmasks k=109\n" in result.stdout
    assert run("split", tmp_path / "both.cfg", "-o", tmp_path / "apart").exit_code == 0
    for name, path in (("coco", base), ("masks", masks)):
        assert (tmp_path / "apart" / f"{name}.weights").read_bytes() == path.with_suffix(".weights").read_bytes()
