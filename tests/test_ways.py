"""The networks of benchmarks/ways.py, and the table of benchmarks/loss_won_back.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from labelled import draw, write_data, write_picture
from models import WITH_STAGES, floats, model, retrained

from darkshare.darknet.kinds import Convolutional
from darkshare.darknet.model import Model, load, save

torch = pytest.importorskip("torch", reason="training needs PyTorch")
sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

import loss_won_back  # noqa: E402
import ways  # noqa: E402
from loss_won_back import Measured, _rows  # noqa: E402

from darkshare.surgery.sides import Side, with_side  # noqa: E402
from darkshare.training.building import build  # noqa: E402

K = 8
READ = {5, 7}  # layers of the trunk that the rest reads
BARE = (ways.wide, ways.cut, ways.drawn_reads, ways.column)
BEGUN = (ways.slow, ways.deeper, ways.separable, ways.early)


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> ways.Given:
    """Half of what the network has may be added, as it is tiny. The other network has other weights everywhere."""
    folder = tmp_path_factory.mktemp("ways")
    save(model(WITH_STAGES), folder / "base")
    save(model(WITH_STAGES, "whole", seed=5), folder / "whole")
    pictures = [write_picture(folder / f"{seed}.png", seed, (32, 48)) for seed in range(8)]
    return ways.Given(str(folder / "base.cfg"), K, 3, (32, 48), folder / "whole.cfg", pictures, 0.5)


def entered(of: Model) -> list:
    """The numbers that enter the heads, of one random picture."""
    x = torch.from_numpy(np.random.default_rng(0).random((1, 3, 48, 32), np.float32))
    return list(build(of, K).eval()(x).values())


def same(a: Model, b: Model) -> bool:
    return all(torch.equal(x, y) for x, y in zip(entered(a), entered(b), strict=True))


def added(made: Model, given: ways.Given) -> list:
    """The layers that are not the base's."""
    more = len(made.network.layers) - len(load(given.base).network.layers)
    return list(made.network.layers[K : K + more])


def heard(made: Model) -> Model:
    """The model with scales of 1 in the convolutions that begin with 0."""
    values = floats(made).copy()
    for layer in made.network.of_kind(Convolutional):
        scales = values[layer.start + layer.kind.filters :][: layer.kind.filters]
        scales[scales == 0] = 1
    return replace(made, weights=replace(made.weights, runs=(values,)))


@pytest.mark.parametrize("make", [*BARE, *BEGUN], ids=lambda make: make.__name__)
def test_what_is_added_changes_nothing_at_first(given, make):
    """And only the ladder whose inputs are cut changes nothing when it is heard, whatever the picture."""
    made, without = make(given), (ways.start if make in BEGUN else ways.labelled)(given)
    assert 0.2 < made.network.flops / without.network.flops - 1 <= 0.5
    assert same(made, without)
    assert same(heard(made), without) == (make is ways.cut)


def test_another_start_is_that_of_the_other_network_on_the_bases_trunk(given):
    begun, base, whole = ways.start(given), load(given.base), load(given.whole)
    at = base.network.start(K)
    assert np.array_equal(floats(begun), np.concatenate([floats(base)[:at], floats(whole)[at:]]))
    assert not same(begun, base)
    assert begun.tasks[0].names == whole.tasks[0].names == ways.labelled(given).tasks[0].names


def test_a_wider_path_reads_what_the_branch_reads(given):
    made, other = ways.wide(given), with_side(load(given.base), K, Side(share=0.5), 3)
    read = {at for layer in added(made, given) for at in layer.inputs if at < K}
    assert read == READ
    assert 0.8 * other.network.flops < made.network.flops <= other.network.flops


def test_cut_layers_do_not_learn(given):
    cut = [layer.kind for layer in added(ways.cut(given), given) if getattr(layer.kind, "learning_rate", 1) == 0]
    assert [(kind.size, kind.stride) for kind in cut] == [(3, 2), (1, 1)]


def test_drawn_reads_have_the_sizes_of_the_ladders(given):
    seen = set()
    for seed in range(9):
        made = ways.drawn_reads(replace(given, seed=seed))
        read = tuple(at for layer in added(made, given) for at in layer.inputs if at < K and at not in READ)
        seen.add(read)
    assert {read[0] for read in seen} == {1}  # of 8x12 there is one
    assert {read[1:] for read in seen} >= {(2,), (3,), (4,)}


@pytest.mark.parametrize(("make", "rate"), [(ways.deeper, 10), (ways.slow, 1)])
def test_a_rate_is_that_of_all_its_layers(given, make, rate):
    assert {layer.kind.learning_rate for layer in added(make(given), given) if layer.size} == {rate}


def test_a_column_is_a_slice_of_the_other_network(given):
    """Its first convolution takes the first filters of layer 1, and reads all of layer 0."""
    made, whole = ways.column(given), load(given.whole)
    first = next(layer for layer in added(made, given) if layer.size)
    count = first.kind.filters
    assert first.x.c == 4
    assert 1 <= count < 6
    weights = whole.tensors(1)["weights"]
    assert np.array_equal(made.tensors(first.index)["weights"], weights[:count])
    assert [layer.kind.name for layer in added(made, given)].count("maxpool") == 1


def test_a_way_with_a_teacher_of_its_own_is_trained_once(tmp_path, monkeypatch, capsys):
    """Its networks are not needed again, as the records say what came of it."""
    save(model(WITH_STAGES), tmp_path / "base")
    data = write_data(tmp_path, draw(tmp_path, 10), valid=4)
    data.write_text(data.read_text() + f"test={tmp_path}/valid.txt\n")
    monkeypatch.setitem(loss_won_back.WAYS, "scratch", loss_won_back.WAYS["scratch"]._replace(side="ladder:4"))
    what = ["--data", f"{data}:32", "--base", str(tmp_path / "base.cfg"), "--k", "8", "--ways", "scratch"]
    how = ["--seeds", "1", "--batches", "2", "--batch", "4", "--validate-every", "1"]
    printed = list[str]()
    for folder in ("out", "other"):
        monkeypatch.setattr(
            sys, "argv", ["program", *what, *how, "--records", str(tmp_path / "records"), "-o", str(tmp_path / folder)]
        )
        loss_won_back.main()
        printed.append(capsys.readouterr().out)
    table = printed[1][printed[1].index("| way") :]
    assert [line.split()[1] for line in table.splitlines()[2:]] == ["k=0", "plain", "scratch"]
    assert printed[0].endswith(table)
    assert not (tmp_path / "other").exists()


def test_a_stitch_gives_what_the_other_network_has(given, tmp_path):
    """Where that has the same trunk but for a linear layer 5, the stitches of 5 and 7 are nearly exact."""
    head, tail = WITH_STAGES.split("filters=12")
    linear = f"{head}filters=12" + tail.replace("mish", "linear", 1)
    base = model(linear)
    save(base, tmp_path / "base")
    save(retrained(base, linear, "whole", 5), tmp_path / "whole")
    how = replace(given, base=str(tmp_path / "base.cfg"), whole=tmp_path / "whole.cfg")
    made = ways.stitch(how)
    stitches = {layer.inputs[0]: layer for layer in made.network.layers[K : K + 4] if layer.size}
    assert [layer.kind.name for layer in made.network.layers[K : K + 4]] == ["route", "convolutional"] * 2
    ours, whole = build(made, K), load(how.whole)
    x = torch.rand(4, 3, 48, 32, generator=torch.Generator().manual_seed(0))
    at = next(layer.index for layer in stitches.values() if layer.y.c == 12)
    found, wanted = ours.outputs(x, [at])[at], build(whole, K).outputs(x, [5])[5]
    assert ((found - wanted) ** 2).mean() < 1e-3 * wanted.var()
    assert np.array_equal(floats(made)[-100:], floats(whole)[-100:])


def test_a_scratch_teacher_has_no_weights(given):
    assert ways.untrained(given).weights is None


def test_the_table_by_hand():
    found = [
        Measured("a", {"k=0": {1: 59.0, 2: 61.0}, "plain": {1: 50.0, 2: 50.0}, "wide": {1: 57.0, 2: 59.0}},
                 {"plain": 0.0, "wide": 3.0}),
        Measured("b", {"k=0": {1: 30.0, 2: 90.0}, "plain": {1: 10.0, 2: 80.0}, "wide": {1: 22.0}},  # seed 1 counts
                 {"plain": 0.0, "wide": 5.0}),
        Measured("c", {"k=0": {1: 30.0}, "plain": {1: 31.0}, "wide": {1: 40.0}}, {"plain": 0.0, "wide": 4.0}),
    ]  # fmt: skip
    rows = list(_rows(found, ["plain", "cut", "wide"]))
    assert [row["way"] for row in rows] == ["k=0", "plain", "wide"]
    assert [(row["a"], row["seeds"]) for row in rows] == [(60, "1 to 2"), (50, "1 to 2"), (58, "1 to 2")]
    # on c nothing is lost
    assert rows[2] | {"FLOPs added %": 4, "points": 10, "won back %": 66.7, "two thirds": "1/2", "p": 0.25} == rows[2]
