"""Kits for stock Darknet: what they freeze, what they hold, and how they end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from architectures import yolov3_text, yolov3_tiny_text, yolov4_tiny_text
from conftest import network_of, seeded_floats, tiny_text
from models import floats, model, quiet_concat, retrained, without_weights

from darkshare.analysis.check import check
from darkshare.analysis.frozen import frozen
from darkshare.darknet.cfg import dumps, parse
from darkshare.darknet.cut_points import legal_cuts
from darkshare.darknet.kinds import Net, Shortcut
from darkshare.darknet.model import Model, load
from darkshare.darknet.network import Network, resolve
from darkshare.darknet.weights import Header, Weights
from darkshare.data import Box, Dataset, Sample, read_data
from darkshare.errors import BadValue, DarkshareError, DarkshareWarning, Unsupported
from darkshare.inference.detector import Detector
from darkshare.surgery.cut import cut
from darkshare.surgery.kit import kit, make_kit, write_kit
from darkshare.surgery.kit.schedule import scheduled
from darkshare.surgery.kit.stops import STOP, frozen_below
from darkshare.surgery.mix import snap

TEXTS = {"tiny": tiny_text(), "yolov3": yolov3_text(), "v3-tiny": yolov3_tiny_text(), "v4-tiny": yolov4_tiny_text()}


def bare(name: str) -> Model:
    return without_weights(TEXTS[name], name)


def pictures(folder: Path, *, count: int = 3, classes: int = 1) -> Dataset:
    """Pictures with their labels beside them, where all three forks look."""
    folder.mkdir(exist_ok=True)
    samples = []
    for number in range(count):
        path = folder / f"{number}.jpg"
        path.write_bytes(b"picture")
        box = Box(number % classes, 0.5, 0.5, 0.1 + number / 10, 0.3)
        path.with_suffix(".txt").write_text(f"{box.class_id} 0.5 0.5 {box.w} {box.h}\n")
        samples.append(Sample(path, (box,) * 2))
    return Dataset("masks", tuple(f"mask_{i}" for i in range(classes)), tuple(samples))


def alexeyab(network: Network) -> tuple[set[int], set[int]]:
    """(layers that AlexeyAB goes on updating on a GPU, frozen layers that trained shortcuts add).

    parse_network_cfg: all before the last stopbackward=1 get train=0; backward_network ends at that layer, whose own
    weights are updated all the same.
    """
    last = max(layer.index for layer in network.layers if layer.kind.stopbackward == 1)
    updated = {layer.index for layer in network.layers[last:] if layer.tensors}
    added = {t for layer in network.layers[last + 1 :] if isinstance(layer.kind, Shortcut) for t in layer.sources}
    return updated, {target for target in added if target < last}


@pytest.mark.parametrize("name", TEXTS)
def test_at_every_k_exactly_the_layers_below_are_frozen(name):
    base = bare(name)
    first_head = min(head.index for head in base.network.heads)
    for k in [k for k in legal_cuts(base.network) if k < first_head]:
        found = frozen_below(base, k)
        layers, more = found.network.layers, found.inserted
        assert len(layers) == len(base.network.layers) + more
        stored = {layer.index + more for layer in base.network.layers if layer.index >= k and layer.tensors}
        assert alexeyab(found.network) == (stored, set()), f"k={k}"
        assert [layer.index for layer in layers if layer.kind.stopbackward] == [found.carrier]
        rates = {layer.kind.learning_rate for layer in layers[:k] if layer.tensors}
        assert rates == {0}
        assert all(layer.kind.learning_rate == 1 for layer in layers[k:])
        assert found.network.params == base.network.params


@pytest.mark.parametrize(
    ("k", "carrier", "inserted"),
    [
        (74, 74, 0),  # the shortcut of the last block
        (75, 74, 0),  # the same: layer 75 is a convolution
        (73, 73, 2),  # layer 74 adds layer 71
        (72, 71, 0),  # the shortcut of the block before, which layer 74 adds
        (5, 4, 0),
    ],
)
def test_yolov3(k, carrier, inserted):
    found = frozen_below(bare("yolov3"), k)
    assert (found.carrier, found.inserted) == (carrier, inserted)


def test_inserted_routes_lead_where_the_shortcut_led():
    found = frozen_below(bare("yolov3"), 73)
    layers = found.network.layers
    assert [(layer.kind.name, layer.sources) for layer in layers[73:75]] == [("route", (71,)), ("route", (72,))]
    assert layers[76].kind.name == "shortcut"
    assert layers[76].sources == (73,)
    assert dumps(found.network.cfg).count("stopbackward=1") == 1


def test_weights_are_shared_with_the_frozen_layer_and_not_with_the_route_to_it():
    conv = "[convolutional]\nsize=1\nfilters=7\nactivation=linear\n\n"
    text = "[net]\nwidth=4\nheight=4\nchannels=7\n\n" + conv * 3 + conv.replace("size", "share_index=1\nsize")
    found = frozen_below(without_weights(text + "[yolo]\nclasses=2\n", "base"), 2)
    assert (found.inserted, found.network.layers[2].sources, found.network.layers[4].shares) == (1, (1,), 1)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_the_network_computes_the_same(k):
    base = model(tiny_text())
    picture = np.random.default_rng(1).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    found = frozen_below(base, k)
    task = replace(base.tasks[0], heads=tuple(head.index for head in found.network.heads))
    changed = replace(base, network=found.network, tasks=(task,))
    before, after = Detector(base).raw(picture), Detector(changed).raw(picture)
    assert [after[i + found.inserted].tobytes() for i in before] == [before[i].tobytes() for i in before]


def test_a_stop_that_was_there_is_moved():
    text = tiny_text().replace("[maxpool]\n", "[maxpool]\nstopbackward=1\n")
    found = frozen_below(without_weights(text, "base"), 2)
    assert [layer.index for layer in found.network.layers if layer.kind.stopbackward] == [2]


def test_a_k_that_freezes_a_head_is_refused():
    with pytest.raises(Unsupported, match=r"k=6 freezes layer 6 \[yolo\].*choose k up to 5"):
        frozen_below(bare("tiny"), 6)
    with pytest.raises(BadValue, match=r"k=13 must be 1\.\.12"):
        frozen_below(bare("tiny"), 13)


def test_the_cpu_cfg_differs_in_one_line(tmp_path):
    kit = make_kit(model(tiny_text()), 4, pictures(tmp_path / "p"))
    gpu, cpu = (dumps(n.cfg).splitlines() for n in (kit.frozen.network, kit.cpu))
    changed = [(a, b) for a, b in zip(gpu, cpu, strict=True) if a != b]
    assert changed == [("stopbackward=1", f"stopbackward={STOP}")]
    text = tiny_text().replace("batch_normalize=1\n", "")
    assert make_kit(model(text), 4, pictures(tmp_path / "p")).cpu is None


def net_of(text: str, **how: object) -> tuple[Net, int]:
    cfg, count = scheduled(parse(f"[net]\nwidth=8\nheight=8\nchannels=3\n{text}"), "alexeyab", **how)
    layers = parse("[net]\n[convolutional]\n").sections[1:]
    return resolve(replace(cfg, sections=(*cfg.sections, *layers))).net, count


def test_the_schedule_follows_the_data():
    text = (
        "batch=1\nsubdivisions=1\nburn_in=1000\npolicy=steps\nsteps=400000,450000\nscales=.1,.1\nmax_batches=500200\n"
    )
    net, count = net_of(text, classes=5, pictures=100)
    assert (count, net.max_batches, net.steps, net.scales) == (10000, 10000, (8000, 9000), (0.1, 0.1))
    assert (net.batch, net.subdivisions, net.burn_in) == (64, 16, 1000)
    assert net_of(text, classes=1, pictures=100)[1] == 6000
    assert net_of(text, classes=1, pictures=7000)[1] == 7000
    short, _ = net_of(text.replace("batch=1\nsub", "batch=32\nsub"), classes=1, pictures=9, batches=500)
    assert (short.max_batches, short.steps, short.burn_in, short.batch) == (500, (400, 450), 50, 32)
    assert net_of("policy=poly\n", classes=1, pictures=9)[0].steps == ()


def test_a_kit_has_the_classes_of_its_data(tmp_path):
    base = model(tiny_text(2))
    data = pictures(tmp_path / "p", count=6, classes=3)
    kit = make_kit(base, 4, data, anchors=True, full=True, seed=1)
    assert {head.kind.classes for head in kit.frozen.network.heads} == {3}
    assert {head.kind.boxes for head in kit.frozen.network.heads} == {2}
    assert all(head.kind.anchors != (4, 5, 8, 9, 16, 20) for head in kit.frozen.network.heads)
    assert np.array_equal(kit.start.view(0, kit.start.size), floats(base)[: base.network.start(4)])
    assert kit.full.size == kit.frozen.network.params
    assert np.array_equal(kit.full.view(0, kit.start.size), kit.start.view(0, kit.start.size))


def test_what_cannot_be_trained_is_refused(tmp_path):
    base = model(tiny_text(2))
    data = pictures(tmp_path / "p")
    both = quiet_concat([base, retrained(base, tiny_text(3), "text", 4)], 4)
    with pytest.raises(Unsupported, match="take a task out of it with split"):
        make_kit(both, 4, data)
    with pytest.raises(DarkshareError, match="no weights"):
        make_kit(bare("tiny"), 4, data)
    text = "[net]\nwidth=4\nheight=4\nchannels=1\n" + "[convolutional]\nfilters=3\n" * 2 + "[avgpool]\n[softmax]\n"
    classifier = replace(base, network=network_of(text), tasks=(replace(base.tasks[0], heads=(3,)),))
    weights = Weights(Header(), (seeded_floats(classifier.network, 1),))
    with pytest.raises(Unsupported, match="not a box head"):
        make_kit(replace(classifier, weights=weights), 1, data)


@pytest.fixture
def base_files(tmp_path: Path) -> Model:
    from conftest import write_model

    text = tiny_text(2).replace("channels=3", "channels=3\nbatch=1\npolicy=steps\nsteps=10,20\nscales=.1,.1", 1)
    return load(write_model(tmp_path / "base", text, seeded_floats(network_of(text), 1)))


def test_a_kit_is_written_and_darknet_s_readers_take_it(base_files, tmp_path):
    data = pictures(tmp_path / "p", classes=2)
    kit = make_kit(base_files, 4, data, data, full=True)
    written = write_kit(kit, tmp_path / "kit")
    home = tmp_path / "kit"
    assert {path.name for path in written} == {
        "masks.cfg", "masks-cpu.cfg", "masks.conv.4", "masks-full.weights", "masks.data", "masks.names", "train.txt",
        "valid.txt", "README.md",
    }  # fmt: skip
    assert (home / "backup").is_dir()
    cut_bytes = Header().to_bytes("alexeyab") + cut(base_files, 4).view(0, base_files.network.start(4)).tobytes()
    assert (home / "masks.conv.4").read_bytes() == cut_bytes
    again = read_data(home / "masks.data")
    assert (again.names, again.findings) == (("mask_0", "mask_1"), ())
    assert [sample.boxes for sample in again.samples] == [(sample.boxes[0],) for sample in data.samples]
    for dialect in ("alexeyab", "pjreddie", "hank-ai"):
        found = check(home / "masks.cfg", home / "masks-full.weights", dialect=dialect)
        assert [problem for problem in found if problem.severity == "error"] == [], dialect
    assert {problem.severity for problem in check(home / "masks.cfg", home / "masks-full.weights")} == {"note"}
    write_kit(kit, tmp_path / "kit")  # again, over itself


def test_the_page_has_the_commands_of_each_fork(base_files, tmp_path):
    data = pictures(tmp_path / "p")
    write_kit(make_kit(base_files, 4, data, data), tmp_path / "kit")
    page = (tmp_path / "kit" / "README.md").read_text()
    base = f"{tmp_path}/base.cfg {tmp_path}/base.weights"
    for command in (
        "darknet detector train masks.data masks.cfg masks.conv.4 -clear -dont_show -map",
        "darknet detector train masks.data masks-cpu.cfg masks.conv.4 -clear -dont_show\n",
        "darknet detector -map -dont_show -clear train masks.data masks.cfg masks-full.weights",
        "darknet detector train masks.data masks.cfg masks.conv.4 -clear\n",
        f"darkshare snap {base} masks.cfg backup/masks_final.weights --k 4 -o masks-ready",
        f"darkshare concat {base} masks-ready.cfg --k 4 -o masks-merged",
    ):
        assert command in page
    assert "`darkshare kit --full` makes the file" in page
    assert "**" not in page.partition("## pjreddie")[0].partition("## hank-ai")[2]  # it finds all labels


def test_another_input_size_is_passed_on(base_files, tmp_path):
    small = load(tmp_path / "base.cfg", size=(64, 32))
    write_kit(make_kit(small, 4, pictures(tmp_path / "p")), tmp_path / "kit")
    assert " --k 4 --size 64x32 -o masks-merged" in (tmp_path / "kit" / "README.md").read_text()
    assert load(tmp_path / "kit" / "masks.cfg").network.input.w == 64


def test_labels_that_a_fork_does_not_find_are_told(base_files, tmp_path):
    data = pictures(tmp_path / "images")  # pjreddie looks in labels/
    kit = make_kit(base_files, 4, data)
    with pytest.warns(DarkshareWarning, match="pjreddie's Darknet does not find the labels of 3 of 3 pictures"):
        write_kit(kit, tmp_path / "kit")
    assert f"`{tmp_path}/labels/0.txt`" in (tmp_path / "kit" / "README.md").read_text()


def test_what_a_fork_cannot_read_or_train_is_told(base_files, tmp_path):
    data = pictures(tmp_path / "p", classes=2)
    webp = (tmp_path / "p" / "1.jpg").rename(tmp_path / "p" / "1.webp")
    webp.write_bytes(b"RIFF....WEBP")
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"  # orientation 6
    (tmp_path / "p" / "2.jpg").write_bytes(b"\xff\xd8\xff\xe1\0\x22" + exif)
    boxes = tuple(Box(0, 0.5, 0.5, 0.1 + i / 1000, 0.1) for i in range(203))
    samples = (data.samples[0], Sample(webp, boxes), data.samples[2])
    with pytest.warns(DarkshareWarning) as caught:
        write_kit(make_kit(base_files, 4, replace(data, samples=samples)), tmp_path / "kit")
    said = [str(one.message) for one in caught]
    assert [text.partition("'s Darknet does not find the labels of 1 of 3")[0] for text in said[:2]] == [
        "alexeyab",
        "pjreddie",
    ]
    assert said[2].startswith("1 pictures are in a format that Darknet reads only with OpenCV")
    assert said[3].startswith("1 of 3 pictures have more than 200 boxes")
    assert "max=203 in each head's section" in said[3]
    assert said[4].startswith("1 of 3 pictures are stored turned or mirrored, with a note in EXIF (2.jpg: 6)")
    page = (tmp_path / "kit" / "README.md").read_text()
    assert page.count(f"It does not know the suffix of\n`{webp}`") == 2


def test_an_input_is_not_replaced(base_files, tmp_path):
    data = pictures(tmp_path / "p")
    (tmp_path / "masks.data").write_text("mine")
    with pytest.raises(DarkshareError, match="is one of the inputs"):
        write_kit(make_kit(base_files, 4, data), tmp_path, protect=[str(tmp_path / "masks.data")])
    assert (tmp_path / "masks.data").read_text() == "mine"
    assert not (tmp_path / "README.md").exists()


@pytest.mark.parametrize("k", [1, 2, 4])
def test_what_a_drifting_fork_leaves_can_be_snapped_and_merged(base_files, tmp_path, k):
    """The trained file as pjreddie's Darknet leaves it: statistics drifted below k, all else new from k on."""
    write_kit(make_kit(base_files, k, pictures(tmp_path / "p")), tmp_path / "kit")
    network = load(tmp_path / "kit" / "masks.cfg").network
    trained = seeded_floats(network, 9)
    start = network.start(k)
    trained[:start] = floats(base_files)[:start]
    for layer in network.layers[:k]:
        if layer.tensors:
            trained[layer.start + 16 : layer.start + 32] *= np.float32(1.25)  # behind 8 biases and 8 scales
    final = tmp_path / "kit" / "backup" / "masks_final.weights"
    final.write_bytes(Header(seen=640).to_bytes("pjreddie") + trained.tobytes())
    other = load(tmp_path / "kit" / "masks.cfg", final)
    assert not frozen(base_files, other, k=k).is_frozen
    ready = snap(base_files, other, k)
    assert frozen(base_files, ready, k=k).is_frozen
    both = quiet_concat([base_files, ready], k)
    assert [task.names for task in both.tasks] == [("class_0", "class_1"), ("mask_0",)]


def test_a_kit_is_written_in_one_call(base_files, tmp_path):
    train = pictures(tmp_path / "p")
    (tmp_path / "train.txt").write_text("".join(f"{sample.picture}\n" for sample in train.samples) + "gone.jpg\n")
    (tmp_path / "masks.names").write_text("mask\n")
    data = tmp_path / "masks.data"
    data.write_text("classes=1\ntrain=train.txt\nnames=masks.names\n")
    with pytest.warns(DarkshareWarning, match=r"gone\.jpg"):
        found = kit(base_files, data, k=4, batches=100, output=tmp_path / "kit")
    assert repr(found) == f"<Kit: masks, {len(found.files)} files, 100 batches from layer 4 on; 3 pictures>"
    assert [row["file"] for row in found.rows()] == list(map(str, found.files))
    assert all(path.is_file() for path in found.files)
    assert f"<td>{tmp_path / 'kit' / 'masks.conv.4'}</td>" in found._repr_html_()
    with pytest.warns(DarkshareWarning), pytest.raises(DarkshareError, match="is one of the inputs"):
        kit(base_files, data, k=4, output=tmp_path)
