"""Each thing that a weights file may be instead, with a file that is just that."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from conftest import network_of, seeded_floats, tiny_text

from darkshare.darknet.model import load
from darkshare.darknet.weights import Header
from darkshare.darknet.wrong_size import cut_at, wrong_size
from darkshare.errors import WeightsSize

NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"


@pytest.fixture
def message(tmp_path):
    """The message for a cfg and a file of so many floats."""

    def of(text: str, floats: int, header: Header | None = None, **how) -> str:
        (tmp_path / "a.cfg").write_text(text)
        body = np.zeros(floats, "<f4").tobytes()
        (tmp_path / "a.weights").write_bytes((header or Header()).to_bytes("alexeyab") + body)
        with pytest.raises(WeightsSize) as caught:
            load(tmp_path / "a.cfg", **how)
        assert caught.value.file == str(tmp_path / "a.weights")
        return caught.value.message

    return of


# The tiny network has 2572 floats; layer 4 begins at 856 and has 16 biases, 48 statistics, 1152 weights.


def test_a_short_file_names_the_tensor_that_it_ends_in(message):
    assert message(tiny_text(), 900) == (
        "ends inside layer 4 [convolutional] 'rolling_mean': 16 floats needed, 12 left (2572 needed in all, 900 found)"
    )
    assert message(tiny_text(), 2571).startswith(
        "ends inside layer 11 [convolutional] 'weights': 168 floats needed, 167"
    )
    assert message(tiny_text(), 0).startswith("ends inside layer 0 [convolutional] 'biases': 8 floats needed, 0 left")


def test_a_long_file_names_the_last_tensor(message):
    assert message(tiny_text(), 3000) == (
        "has 428 floats left over behind layer 11 [convolutional] 'weights' (2572 needed in all, 3000 found)"
    )


def test_a_long_file_for_a_cfg_without_weights(message):
    assert message(NET + "[maxpool]\n", 3) == (
        "has 3 floats left over behind the header, because the cfg stores none (0 needed in all, 3 found)"
    )


def test_a_partial_file_is_recognised_with_every_k_that_fits(message):
    assert message(tiny_text(), 248).endswith(
        "it is a partial file, the first k=1 layers (as *.conv.1), which only starts a training; give the complete one"
    )
    assert "the first k=2..4 layers (as *.conv.4), which only starts" in message(tiny_text(), 856)


def test_another_class_count_is_recognised(message):
    # 2 anchors a head, 17 and 13 values a channel: 60 floats more for every class
    assert message(tiny_text(classes=2), 2572 + 78 * 60).endswith(
        "it fits 80 classes in every head: it belongs to another cfg, which stands before it"
    )
    assert message(tiny_text(classes=2), 2572 - 60).endswith(
        "it fits 1 class in every head: it belongs to another cfg, which stands before it"
    )
    assert message(tiny_text(classes=2), 2572 + 20_000 * 60).endswith("found)")  # more classes than anybody has


def test_heads_that_no_convolution_feeds_leave_no_guess(message):
    text = NET + "[conv]\nfilters=25\n[maxpool]\n[yolo]\n"
    assert message(text, 104).endswith("found)")


def test_another_fork_s_file_is_recognised(message):
    text = NET + "[batchnorm]\n[conv]\n"  # pjreddie stores no biases for [batchnorm]: 3 floats fewer
    assert message(text, 9 + 4).endswith("it fits the dialect pjreddie: try --dialect pjreddie")
    assert message(text, 12 + 4, dialect="pjreddie").endswith("it fits the dialect alexeyab: try --dialect alexeyab")


def test_the_writer_s_view_is_recognised(message):
    text = NET + "[conv]\nfilters=4\nbatch_normalize=1\ndontloadscales=1\n[conv]\n"  # 3*4 statistics are left out
    assert message(text, 16 + 12 + 5).endswith(
        "it fits what Darknet writes for this cfg, but dontload=, dontloadscales= or numload= make the "
        "loader read less: remove these keys to read it"
    )


def test_a_header_of_the_other_length_is_recognised(tmp_path):
    network = network_of(NET + "[conv]\nfilters=4\n")  # 16 floats
    assert wrong_size(network, 15, Header(0, 2, 5), "a").message.endswith(
        "; it fits a 16-byte header, but version 0.2 means 20 bytes: insert 4 zero bytes at offset 16"
    )
    assert wrong_size(network, 17, Header(0, 1, 0), "a").message.endswith(
        "; it fits a 20-byte header, but version 0.1 means 16 bytes: write 2 at offset 4, the minor version"
    )


def test_a_file_whose_header_lies_about_its_length(tmp_path):
    """32-bit `seen` behind a version that means 64 bits: the whole file is off by one float."""
    (tmp_path / "a.cfg").write_text(NET + "[conv]\nfilters=4\n")
    short = Header(0, 2, 5).to_bytes("alexeyab")[:16]
    (tmp_path / "a.weights").write_bytes(short + np.zeros(16, "<f4").tobytes())
    with pytest.raises(WeightsSize, match=r"fits a 16-byte header, but version 0\.2 means 20 bytes"):
        load(tmp_path / "a.cfg")


OLD = struct.pack("<fffi", 1e-5, 0.9, 5e-4, 1000)  # rate, momentum, decay, seen: of vgg-16.weights
NEW = bytes.fromhex("00000000 02000000 05000000 0000000000000000")


@pytest.mark.parametrize(
    ("head", "says", "mended", "dialect"),
    [
        # eriklindernoren/PyTorch-YOLOv3 pull request 842: the minor version is 0 behind a long `seen`
        (NEW[:4] + bytes(4) + NEW[8:], "write 2 at offset 4, the minor version", NEW, "alexeyab"),
        # AlexeyAB/darknet issue 539: written where size_t has 32 bits
        (NEW[:16], "insert 4 zero bytes at offset 16", NEW, "alexeyab"),
        # pjreddie/darknet issue 1593: the settings of a training where later versions have their number
        (OLD, "16-byte header of very old versions, which pjreddie reads: try --dialect pjreddie", OLD, "pjreddie"),
        (
            b"",
            f"fits no header at all: put one before it, such as {NEW.hex(' ', 4)[:27]}0000000000000000",
            NEW,
            "alexeyab",
        ),
    ],
)
@pytest.mark.parametrize("text", ["[conv]\nfilters=4\n", "[conv]\nfilters=7\nsize=3\nbatch_normalize=1\n"])
def test_a_wrong_header_is_recognised_and_its_cure_works(tmp_path, text, head, says, mended, dialect):
    (tmp_path / "a.cfg").write_text(NET + text)
    values = seeded_floats(network_of(NET + text), 1)
    (tmp_path / "a.weights").write_bytes(head + values.tobytes())
    with pytest.raises(WeightsSize) as caught:
        load(tmp_path / "a.cfg")
    assert caught.value.message.endswith(says)
    (tmp_path / "a.weights").write_bytes(mended + values.tobytes())
    model = load(tmp_path / "a.cfg", dialect=dialect)
    assert model.weights is not None
    assert np.array_equal(model.weights.view(0, values.size), values)


@pytest.mark.parametrize("minor", [0, 1001])
def test_a_dialect_that_reads_another_header_is_no_guess(minor):
    """[batchnorm] has 3 floats fewer in pjreddie, whose header for version 1000 is a float shorter."""
    network = network_of(NET + "[batchnorm]\n[conv]\n")
    tried = {floats: wrong_size(network, floats, Header(1000, minor), "a").message for floats in (12, 13)}
    assert "--dialect" not in tried[13]  # pjreddie would find 14
    assert tried[12].endswith("which pjreddie reads: try --dialect pjreddie")
    assert "insert 4 zero bytes" in wrong_size(network, 15, Header(1000, minor), "a").message


@pytest.mark.parametrize(("major", "cure"), [(0, True), (999, True), (1000, False), (-1, False)])
def test_no_minor_version_is_suggested_that_changes_nothing(major, cure):
    header = Header(major, 1001 if major >= 0 else 3)
    assert header.size("pjreddie") == 16
    network = network_of(NET + "[conv]\nfilters=4\n", dialect="pjreddie")
    assert ("write 2 at offset 4" in wrong_size(network, 17, header, "a").message) == cure


def test_at_most_two_guesses_are_made():
    network = network_of(tiny_text())
    assert wrong_size(network, 248, Header(), "a").message.count(";") <= 3


@pytest.mark.parametrize(
    ("floats", "ks"), [(0, None), (247, None), (248, (1, 1)), (856, (2, 4)), (2390, (9, 11)), (2572, (12, 12))]
)
def test_where_a_file_was_cut(floats, ks):
    assert cut_at(network_of(tiny_text()), floats) == ks


def test_a_partial_file_is_accepted_only_when_asked_for(tmp_path):
    text = tiny_text()
    data = seeded_floats(network_of(text), 1)
    (tmp_path / "a.cfg").write_text(text)
    (tmp_path / "a.weights").write_bytes(Header().to_bytes("alexeyab") + data[:856].tobytes())
    with pytest.raises(WeightsSize, match="partial file"):
        load(tmp_path / "a.cfg")
    model = load(tmp_path / "a.cfg", partial=True)
    assert model.loaded == 4
    (tmp_path / "a.weights").write_bytes(Header().to_bytes("alexeyab") + data[:857].tobytes())
    with pytest.raises(WeightsSize, match="ends inside layer 4"):
        load(tmp_path / "a.cfg", partial=True)
