from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import fingerprint_by_hand, network_of, seeded_floats, tiny_text, write_model

from darkshare._files import _write_fully
from darkshare.darknet.model import Model, load, save, save_weights
from darkshare.darknet.tasks import FORMAT, Task
from darkshare.darknet.weights import Header, Weights
from darkshare.errors import BadValue, DarkshareError, Unsupported, WeightsSize

NET = "[net]\nwidth=2\nheight=2\nchannels=3\n"


# --- tensors


def test_tensors_come_in_file_order(tiny):
    model = load(tiny)
    data = seeded_floats(model.network, 1)
    found = model.tensors(4)
    assert [(name, tensor.shape) for name, tensor in found.items()] == [
        ("biases", (16,)),
        ("scales", (16,)),
        ("rolling_mean", (16,)),
        ("rolling_variance", (16,)),
        ("weights", (16, 8, 3, 3)),
    ]
    assert np.array_equal(np.concatenate([tensor.ravel() for tensor in found.values()]), data[856:2072])
    assert model.tensors(6) == {}
    assert (model.loaded, model.name) == (13, str(tiny))


def test_batch_norm_lies_behind_a_matrix(tmp_path):
    data = np.arange(2 + 2 * 12 + 6, dtype="<f4")
    model = load(write_model(tmp_path / "a", NET + "[connected]\noutput=2\nbatch_normalize=1\n", data))
    found = {name: tensor.tolist() for name, tensor in model.tensors(0).items()}
    assert found == {
        "biases": [0, 1],
        "weights": [list(range(2, 14)), list(range(14, 26))],  # a row for each output
        "scales": [26, 27],
        "rolling_mean": [28, 29],
        "rolling_variance": [30, 31],
    }


@pytest.mark.parametrize("version", [(1001, 0), (0, 1001)])
def test_a_transposed_file_is_put_upright(tmp_path, version):
    # 2 outputs of 3 inputs, inputs first in the file: input 0 -> (10, 20), input 1 -> (11, 21), input 2 -> (12, 22)
    text = "[net]\ninputs=3\n[connected]\noutput=2\n[connected]\noutput=1\n"
    data = np.array([1, 2, 10, 20, 11, 21, 12, 22, 3, 30, 31], "<f4")
    cfg = write_model(tmp_path / "a", text, data, header=Header(version[0], version[1], 0, 64))
    model = load(cfg)
    assert model.tensors(0)["weights"].tolist() == [[10, 11, 12], [20, 21, 22]]
    assert model.tensors(0)["biases"].tolist() == [1, 2]
    assert model.tensors(1)["weights"].tolist() == [[30, 31]]
    assert model.weights.header == Header(0, 2, 5, 64)  # what is written now is not an old file any more
    # A convolution is not turned.
    conv = write_model(tmp_path / "b", NET + "[conv]\nfilters=2\n", np.arange(8), header=Header(*version))
    assert load(conv).tensors(0)["weights"].ravel().tolist() == [2, 3, 4, 5, 6, 7]


def test_a_partial_transposed_file_is_put_upright_as_far_as_it_goes(tmp_path):
    text = "[net]\ninputs=2\n[connected]\noutput=2\n[connected]\noutput=9\n"
    cfg = write_model(tmp_path / "a", text, np.array([1, 2, 10, 20, 11, 21], "<f4"), header=Header(1001, 0))
    model = load(cfg, partial=True)
    assert model.tensors(0)["weights"].tolist() == [[10, 11], [20, 21]]


def test_a_flipped_convolution_is_turned(tmp_path):
    # 2 filters of 3 channels; flipped files hold the filters last
    data = np.array([0, 0, 10, 20, 11, 21, 12, 22], "<f4")
    model = load(write_model(tmp_path / "a", NET + "[conv]\nfilters=2\nflipped=1\n", data))
    kernel = model.tensors(0)["weights"]
    assert kernel.shape == (2, 3, 1, 1)
    assert kernel[:, :, 0, 0].tolist() == [[10, 11, 12], [20, 21, 22]]


def test_a_flipped_kernel_keeps_its_places(tmp_path):
    """[c][k][k][n] in the file: the value of filter n, channel c, row y, column x says so."""
    wanted = np.array(
        [[[[1000 * n + 100 * c + 10 * y + x for x in range(3)] for y in range(3)] for c in range(2)] for n in range(4)]
    )
    text = "[net]\nwidth=3\nheight=3\nchannels=2\n[conv]\nfilters=4\nsize=3\nflipped=1\n"
    data = np.concatenate([np.zeros(4), wanted.transpose(1, 2, 3, 0).ravel()])
    assert np.array_equal(load(write_model(tmp_path / "a", text, data)).tensors(0)["weights"], wanted)


def test_a_convolution_that_shares_gives_its_owner_s(tmp_path):
    text = NET + "[conv]\nfilters=3\n[conv]\nfilters=3\nshare_index=0\n[conv]\nfilters=3\nshare_index=1\n"
    model = load(write_model(tmp_path / "a", text, np.arange(12)))
    for index in (1, 2):
        assert np.array_equal(model.tensors(index)["weights"], model.tensors(0)["weights"])
        assert model.tensors(index)["biases"].tolist() == [0, 1, 2]


def test_tensors_across_runs_are_joined_only_where_they_must(tiny):
    model = load(tiny)
    whole = model.weights.view(0, model.weights.size)
    split = replace(model, weights=Weights(Header(), (whole[:248], whole[248:])))
    for index in range(len(model.network.layers)):
        for name, tensor in split.tensors(index).items():
            assert np.shares_memory(tensor, whole)
            assert np.array_equal(tensor, model.tensors(index)[name])


def test_what_is_not_there_is_said(tmp_path, tiny):
    tiny.with_suffix(".weights").unlink()
    model = load(tiny)
    assert (model.weights, model.loaded) == (None, 0)
    with pytest.raises(Unsupported, match=r"tiny\.cfg: has no weights; give the .weights file behind the .cfg"):
        model.tensors(0)
    data = seeded_floats(model.network, 1)[:856]
    partial = load(write_model(tmp_path / "part", tiny_text(), data), partial=True)
    assert partial.tensors(1)["biases"].size == 8
    with pytest.raises(Unsupported, match=r"part\.weights: a partial file, it ends before layer 4 \[convolutional\]"):
        partial.tensors(4)


# --- loading


def test_the_sibling_is_found_unless_another_is_given_or_none_is_wanted(tmp_path, tiny):
    other = tmp_path / "other.weights"
    data = seeded_floats(network_of(tiny_text()), 2)
    other.write_bytes(Header().to_bytes("alexeyab") + data.tobytes())
    assert load(tiny).weights.path == str(tiny.with_suffix(".weights"))
    assert load(tiny, other).weights.view(0, 5).tolist() == data[:5].tolist()
    assert load(tiny, sibling=False).weights is None


def test_size_dialect_and_view_reach_the_network(tmp_path, tiny):
    assert str(load(tiny, size=(64, 32)).network.input) == "64x32x3"
    assert load(tiny, dialect="pjreddie").network.dialect == "pjreddie"
    text = NET + "[conv]\nfilters=3\ndontload=1\n[conv]\n"
    cfg = write_model(tmp_path / "a", text, np.arange(12 + 4))
    with pytest.raises(WeightsSize, match="it fits what Darknet writes for this cfg"):
        load(cfg)
    assert load(cfg, view="save").tensors(0)["biases"].tolist() == [0, 1, 2]


def test_a_plain_model_is_one_task(tiny):
    (task,) = load(tiny).tasks
    assert (task.name, task.names, task.heads, task.runs) == ("tiny", ("class_0", "class_1"), (6, 12), ((0, 13),))
    assert (task.k, task.offset, task.padded) == (0, 0, False)
    assert task.net == {"width": "32", "height": "32", "channels": "3"}


def test_net_options_are_read_as_darknet_reads_them(tmp_path):
    cfg = write_model(tmp_path / "a", "[net]\nwidth=2\nheight=2\nchannels=3\nwidth=9\n[conv]\n", np.zeros(4))
    assert load(cfg).tasks[0].net["width"] == "2"  # the first wins


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"cat\ndog\n", ("cat", "dog")),
        (b"cat\r\ndog", ("cat", "dog")),
        (b"\xef\xbb\xbfcat\n  dog \n\n", ("cat", "dog")),
        ("Führerschein\n猫\n".encode(), ("Führerschein", "猫")),
        (b"caf\xe9\nx\n", ("caf\udce9", "x")),  # the byte is kept
        ("红\n绿\n".encode("utf-16"), ("红", "绿")),
        (b"\ncat\n", ("class 0", "cat")),
        (b"cat\ncat\n", ("cat", "class 1")),
        (b"class 1\nclass 1\n", ("class 1", "class 1_")),
        (b"cat\n\xef\xbb\xbfdog\n", ("cat", "dog")),  # two files with marks, joined
        (b" \xef\xbb\xbf cat\n\xef\xbb\xbfcat\n", ("cat", "class 1")),
        (b" \xfe\xffcat\n\xff\xfe\xff\xfe dog\n", ("cat", "dog")),
        (b"\xfeorskur\n\xffsa\n", ("\udcfeorskur", "\udcffsa")),  # letters of Latin-1
        (b"\xff\xfe\xff\xfec\0\n\0d\0\n\0", ("c", "d")),
        (b"traffic light\nstop sign\n", ("traffic light", "stop sign")),
    ],
)
def test_class_names_are_the_lines_of_the_sibling(tiny, content, names):
    tiny.with_suffix(".names").write_bytes(content)
    assert load(tiny).tasks[0].names == names


def test_another_number_of_names_is_refused(tiny):
    tiny.with_suffix(".names").write_text("cat\n")
    with pytest.raises(DarkshareError, match=r"tiny\.names: holds 1 names, but the heads have 2 classes; correct it"):
        load(tiny)
    tiny.with_suffix(".names").write_text("cat\n\ndog\n")
    with pytest.raises(DarkshareError, match=r"holds 3 names \(line 2 is empty, and a class to Darknet\),"):
        load(tiny)


@pytest.mark.parametrize(
    ("tail", "count"),
    [
        ("[conv]\nfilters=25\n[yolo]\n", 20),
        ("[avgpool]\n[softmax]\n", 3),
        ("[connected]\noutput=7\n", 7),
        ("[connected]\noutput=7\n[cost]\n", 7),
        ("[conv]\nfilters=30\n[region]\nclasses=1\nnum=5\n", 1),
        ("[conv]\nfilters=30\n", 0),
    ],
)
def test_the_number_of_classes(tmp_path, tail, count):
    network = network_of(NET + tail)
    model = load(write_model(tmp_path / "a", NET + tail, np.zeros(network.params)))
    assert model.classes(len(network.layers) - 1) == count
    assert len(model.tasks[0].names) == count


# --- saving


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """A model of two heads with four classes."""
    text = tiny_text(classes=4)
    return write_model(tmp_path / "four", text, seeded_floats(network_of(text), 1))


def two_tasks(cfg: Path) -> Model:
    model = load(cfg)
    first = Task("shapes", ("disc", "bar"), (6,), ((0, 7),), net={"width": "32"}, header=Header(0, 2, 0, 640))
    second = Task("letters", ("a", "ä"), (12,), ((0, 4), (7, 13)), True, 2, {}, Header(), {"cfg": str(cfg)})
    return replace(model, tasks=(first, second))


def test_all_files_of_a_model(tmp_path, four):
    model = two_tasks(four)
    written = save(model, tmp_path / "out" / "both")
    assert [path.name for path in written] == ["both.cfg", "both.weights", "both.names", "both.data", "both.tasks.json"]
    folder = tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in written)
    assert (folder / "both.cfg").read_bytes() == four.read_bytes()
    assert (folder / "both.weights").read_bytes() == four.with_suffix(".weights").read_bytes()
    assert (folder / "both.names").read_text(encoding="utf-8") == "disc\nbar\na\nä\n"
    assert (folder / "both.data").read_text() == "classes=4\nnames=both.names\nbackup=backup\n"
    described = json.loads((folder / "both.tasks.json").read_text(encoding="utf-8"))
    assert described["format"] == "darkshare tasks 1"
    assert [task["k"] for task in described["tasks"]] == [0, 4]
    assert described["tasks"][1]["fingerprints"] == {"cfg": fingerprint_by_hand(four)}


def test_tasks_come_back_as_they_were_saved(tmp_path, four):
    model = two_tasks(four)
    save(model, tmp_path / "both")
    first, second = load(tmp_path / "both.cfg").tasks
    assert first == model.tasks[0]
    assert replace(second, files=model.tasks[1].files, fingerprints={}) == model.tasks[1]


@pytest.mark.parametrize("seen", [0, 7])
def test_fingerprints_of_sources_that_fill_many_pieces(tmp_path, seen):
    models = []
    for name, size in (("base", 100), ("text", 60)):
        text = f"[net]\nwidth=32\nheight=32\nchannels=3\n[connected]\noutput={size}\n[softmax]\n"
        data = seeded_floats(network_of(text), size)
        models.append(load(write_model(tmp_path / name, text, data, header=Header(seen=seen))))
    base, other = models
    runs = base.weights.runs
    save(Model(base.network, Weights(Header(), runs), (*base.tasks, *other.tasks)), tmp_path / "both")
    described = json.loads((tmp_path / "both.tasks.json").read_text())
    assert described["weights_fingerprint"] == fingerprint_by_hand(tmp_path / "both.weights")
    for task in described["tasks"]:
        cfg = tmp_path / f"{task['name']}.cfg"
        by_hand = {"cfg": fingerprint_by_hand(cfg), "weights": fingerprint_by_hand(cfg.with_suffix(".weights"))}
        assert task["fingerprints"] == by_hand


def test_one_task_needs_no_description_but_an_old_one_is_replaced(tmp_path, tiny, four):
    save(two_tasks(four), tmp_path / "out")
    save(load(tiny), tmp_path / "new")
    assert not (tmp_path / "new.tasks.json").exists()
    save(load(tiny), tmp_path / "out")
    assert [task.name for task in load(tmp_path / "out.cfg").tasks] == ["tiny"]


@pytest.mark.parametrize("stem", ["both", "both.cfg", "both.weights"])
def test_a_stem_may_carry_the_suffix(tmp_path, tiny, stem):
    save(load(tiny), tmp_path / stem)
    assert (tmp_path / "both.weights").exists()


def test_a_dot_in_the_stem_is_kept(tmp_path, tiny):
    save(load(tiny), tmp_path / "v1.2")
    assert (tmp_path / "v1.2.cfg").exists()
    assert (tmp_path / "v1.2.weights").exists()


def test_a_model_without_weights_gets_no_weights_file(tmp_path, tiny):
    save(load(tiny, sibling=False), tmp_path / "out")
    assert not (tmp_path / "out.weights").exists()


def test_an_input_is_never_replaced(tmp_path, tiny):
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DarkshareError, match=r"tiny\.weights: is one of the inputs and would be replaced"):
        save(load(tiny), tmp_path / "tiny", protect=["", str(tiny.with_suffix(".weights"))])
    link = tmp_path / "link.cfg"
    link.symlink_to(tiny)
    with pytest.raises(DarkshareError, match=r"link\.cfg: is one of the inputs"):
        save(load(tiny), tmp_path / "link", protect=[str(tiny)])
    with pytest.raises(DarkshareError, match="is one of the inputs"):
        save_weights(
            load(tiny).weights, tiny.with_suffix(".weights"), "alexeyab", protect=[str(tiny.with_suffix(".weights"))]
        )
    link.unlink()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_full_disk_leaves_the_old_model(tmp_path, tiny, monkeypatch):
    save(load(tiny), tmp_path / "out")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real = _write_fully

    def write(file, buffer):
        if b"class_0" in bytes(buffer)[:20]:  # the .names, behind the cfg and the weights
            raise OSError(28, "No space left on device")
        real(file, buffer)

    monkeypatch.setattr("darkshare._files._write_fully", write)
    with pytest.raises(DarkshareError, match=r"out\.names: cannot be written: No space left on device"):
        save(replace(load(tiny), tasks=(replace(load(tiny).tasks[0], name="x"),)), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("stem", ["", ".", "/"])
def test_files_need_a_name(tiny, stem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    with pytest.raises(BadValue, match="cannot be the name of files"):
        save(load(tiny), stem)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"name": "a"}, {"name": "a"}, "it names two tasks alike"),
        ({"ensemble": "e"}, {"ensemble": "e", "classes": ["y"]}, "the branches of an ensemble have different classes"),
    ],
)
def test_tasks_that_do_not_go_together_are_named(tiny, first, second, message):
    row = {"classes": ["x"], "padded": False, "offset": 0, "heads": [6], "runs": [[0, 13]], "net": {}}
    row |= {"header": [0, 2, 5, 0], "fingerprints": {}}
    rows = [{"name": f"task-{i}", **row, **more} for i, more in enumerate((first, second))]
    tiny.with_suffix(".tasks.json").write_text(json.dumps({"format": FORMAT, "tasks": rows}))
    with pytest.raises(DarkshareError, match=message):
        load(tiny)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a task description"),
        ("[]", "is not a task description"),
        ("[" * 100_000, "is not a task description"),
        ("{}", "is not a task description: 'format'; remove it to do without"),
        ('{"format": "other", "tasks": []}', "format 'other' is not 'darkshare tasks 1'"),
        ('{"format": "darkshare tasks 1"}', "is not a task description: 'tasks'"),
        ('{"format": "darkshare tasks 1", "tasks": []}', "it describes no task"),
        ('{"format": "darkshare tasks 1", "tasks": [{"name": "a"}]}', "is not a task description: 'classes'"),
        ("heads=[13]", "task a names layers that the cfg does not have: it belongs to another cfg"),
        ("heads=[-1]", "names layers that the cfg does not have"),
        ('heads=["six"]', "is not a task description: invalid literal"),
        ("heads=[Infinity]", "is not a task description: cannot convert"),
        ("offset=2", "task a has 1 classes from 2 on, but its heads have 2: it belongs to another cfg"),
        ("offset=-1", "it belongs to another cfg"),
        ('classes=["x", "y", "z"]', "task a has 3 classes from 0 on, but its heads have 2"),
        ("runs=[[0, 14]]", "names layers that the cfg does not have"),
        ("runs=[[4, 4]]", "names layers that the cfg does not have"),
        ("runs=[[4]]", "is not a task description: not enough values"),
        ("heads=[]", "is not a task description: it describes no task, or one without heads"),
        ("header=[0, 2, 5, 0, 0]", "is not a task description"),
        ('name="../a"', "task name '../a' cannot be a file name"),
        ('name=".."', "task name '..' cannot be a file name"),
        ('name="a/b"', "task name 'a/b' cannot be a file name"),
        ('name="/a"', "task name '/a' cannot be a file name"),
        (r'name="a\nb"', r"task name 'a\nb' holds a control character, U+000A; remove it"),
        (r'name="a\u0000"', r"task name 'a\x00' holds a control character, U+0000"),
        (r'name="\ud800"', r"task name '\ud800' holds half a character, U+D800"),
        (r'ensemble="\u009b31m"', r"task name '\x9b31m' holds a control character, U+009B"),
        (r'classes=["x\u001b[31m"]', r"class name 'x\x1b[31m' holds a control character, U+001B"),
        (r'classes=["\udfff"]', r"class name '\udfff' holds half a character, U+DFFF"),
        (r'net={"width": "8\n[yolo]"}', r"[net] option 'width=8\n[yolo]' holds a control character, U+000A"),
        (r'net={"a\r": 1}', r"[net] option 'a\r=1' holds a control character, U+000D"),
        ("net=[1]", "is not a task description"),
    ],
)
def test_a_broken_description_is_named(tiny, content, message):
    key, found, value = content.partition("=")
    if found:
        row = {"name": "a", "classes": ["x"], "padded": False, "offset": 0, "heads": [6], "runs": [[0, 13]]}
        row |= {"net": {}, "header": [0, 2, 5, 0], "fingerprints": {}, key: json.loads(value)}
        content = json.dumps({"format": FORMAT, "tasks": [row]})
    tiny.with_suffix(".tasks.json").write_text(content)
    with pytest.raises(DarkshareError) as caught:
        load(tiny)
    assert str(caught.value).startswith(f"{tiny.with_suffix('.tasks.json')}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["😀", "a\tb", "caf\udce9", "a\u200db", "\u2028"])
def test_odd_names_that_programs_show_are_names(tmp_path, four, name):
    """A byte that is not UTF-8 too, which is a surrogate in Python."""
    model = two_tasks(four)
    first = replace(model.tasks[0], name=name, names=(name, "bar"))
    save(replace(model, tasks=(first, model.tasks[1])), tmp_path / "both")
    assert load(tmp_path / "both.cfg").tasks[0].names[0] == name


@pytest.mark.parametrize(
    ("line", "text"), [(1, "a\x1bb\nc\n"), (2, "a\nb\x7f\n"), (3, "a\nb\n\x0c\n"), (2, "a\n\x85b\n")]
)
def test_control_characters_in_names_are_an_error_with_its_line(tiny, line, text):
    path = tiny.with_suffix(".names")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DarkshareError, match=rf"\.names:{line}: class name '.*' holds a control character"):
        load(tiny)


def test_a_task_is_called_as_its_file_but_for_control_characters(tiny):
    assert load(tiny.rename(tiny.with_name("a\n\x1bb.cfg"))).tasks[0].name == "a__b"


def test_a_task_needs_a_name_that_can_be_a_file_s():
    for name in ("", "a/b", "/a"):
        with pytest.raises(BadValue, match="cannot be a file name"):
            Task(name, (), (), ())
