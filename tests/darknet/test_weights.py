from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import floats, headers

from darkshare.darknet.kinds import DIALECTS
from darkshare.darknet.model import save_weights
from darkshare.darknet.weights import Header, Weights, chunks, parse_header, read_weights
from darkshare.errors import BadValue, DarkshareError, WeightsSize

# A convolution of one 1x1 filter on one channel, as AlexeyAB writes it.
GOLDEN = bytes.fromhex(
    "00000000 02000000 05000000"  # int32 major, minor, revision: 0.2.5
    "4000000000000000"  # uint64 seen: 64 images
    "0000803f"  # its bias: 1.0
    "000000c0"  # its weight: -2.0
)
# The same from before version 0.2: `seen` has 32 bits.
OLD = bytes.fromhex("00000000 01000000 00000000 40000000 0000803f 000000c0")


@pytest.fixture
def file(tmp_path):
    def write(data: bytes):
        path = tmp_path / "a.weights"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize(("data", "header"), [(GOLDEN, Header(0, 2, 5, 64)), (OLD, Header(0, 1, 0, 64))])
def test_a_file_is_a_header_and_floats(file, data, header):
    path = file(data)
    for dialect in DIALECTS:
        found = read_weights(path, dialect=dialect)
        assert found.header == header
        assert found.view(0, 2).tolist() == [1.0, -2.0]
        assert (found.size, found.path) == (2, str(path))
        assert header.to_bytes(dialect) + found.view(0, 2).tobytes() == data


def test_floats_of_a_file_and_of_memory_are_one_row(file):
    stored = read_weights(file(GOLDEN)).runs
    mixed = Weights(Header(), (*stored, np.float32([3, 4])))
    assert mixed.view(0, 4).tolist() == [1.0, -2.0, 3.0, 4.0]
    assert mixed.view(1, 3).tolist() == [-2.0, 3.0]
    assert [float(value) for piece in chunks(mixed.runs) for value in piece] == [1.0, -2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("major", "minor", "sizes", "transposed"),
    [  # sizes for alexeyab, pjreddie, hank-ai
        (0, 1, (16, 16, 16), False),
        (0, 2, (20, 20, 20), False),
        (1, 0, (20, 20, 20), False),
        (0, 0, (16, 16, 16), False),
        (-1, 5, (16, 16, 16), False),
        (999, 0, (20, 20, 20), False),
        (1000, 0, (20, 16, 20), False),  # strictly more than 1000 is transposed, from 1000 on pjreddie reads 32 bits
        (0, 1000, (20, 16, 20), False),
        (1001, 0, (20, 16, 20), True),
        (0, 1001, (20, 16, 20), True),
    ],
)
def test_each_fork_s_rule_for_the_length_of_seen(major, minor, sizes, transposed):
    header = Header(major, minor)
    assert tuple(header.size(dialect) for dialect in DIALECTS) == sizes
    assert tuple(len(header.to_bytes(dialect)) for dialect in DIALECTS) == sizes
    assert header.transposed == transposed


def test_seen_may_need_64_bits():
    header = Header(seen=2**40 + 1)
    assert parse_header(header.to_bytes("alexeyab"), "alexeyab") == (header, 20)
    with pytest.raises(BadValue, match=r"a header of \(0, 1, 0, 4294967296\) does not fit its bytes"):
        Header(0, 1, 0, 2**32).to_bytes("alexeyab")


@given(headers(), floats(), st.sampled_from(DIALECTS))
def test_what_is_read_is_written_back_bit_for_bit(tmp_path_factory, header, data, dialect):
    folder = tmp_path_factory.getbasetemp()
    whole = header.to_bytes(dialect) + data.tobytes()
    (folder / "in.weights").write_bytes(whole)
    found = read_weights(folder / "in.weights", dialect=dialect)
    save_weights(found, folder / "out.weights", dialect)
    assert (folder / "out.weights").read_bytes() == whole


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends inside the header: 16 or 20 bytes needed, 0 found; this is not a Darknet weights file"),
        (GOLDEN[:15], "ends inside the header: 16 or 20 bytes needed, 15 found"),
        (GOLDEN[:19], "ends inside the header: 20 bytes needed, 19 found"),
        (GOLDEN[:-1], "7 bytes behind the 20-byte header are not a whole number of floats"),
        (OLD[:-2], "6 bytes behind the 16-byte header are not a whole number of floats"),
    ],
)
def test_a_file_of_no_possible_length_is_refused(file, data, message):
    with pytest.raises(WeightsSize) as caught:
        read_weights(file(data))
    assert str(caught.value).startswith(f"{file(data)}: {message}")


def test_a_header_alone_is_a_file_of_no_floats(file):
    assert read_weights(file(GOLDEN[:20])).size == 0


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DarkshareError, match=r"none\.weights: cannot be read: No such file"):
        read_weights(tmp_path / "none.weights")
    with pytest.raises(DarkshareError, match="cannot be read: Is a directory"):
        read_weights(tmp_path)


# --- runs


def runs_of(*lengths: int) -> Weights:
    data = np.arange(sum(lengths), dtype="<f4")
    return Weights(Header(), tuple(np.split(data, np.cumsum(lengths)[:-1])))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5), st.data())
def test_runs_are_one_vector(lengths, data):
    joined = runs_of(*lengths)
    stop = data.draw(st.integers(0, joined.size))
    start = data.draw(st.integers(0, stop))
    assert joined.size == sum(lengths)
    assert joined.view(start, stop).tolist() == list(range(start, stop))
    assert np.concatenate([[], *joined.slice(start, stop)]).tolist() == list(range(start, stop))


def test_a_file_that_is_replaced_or_removed_is_read_to_its_end(file):
    data = np.arange(3, dtype="<f4")
    path = file(GOLDEN[:20] + data.tobytes())
    found = read_weights(path)
    other = path.with_name("other")
    other.write_bytes(GOLDEN[:20])
    other.replace(path)
    assert found.view(0, 3).tolist() == [0, 1, 2]
    path.unlink()
    assert found.view(1, 3).tolist() == [1, 2]


def test_floats_of_a_file_say_their_shape_as_an_array_does(tmp_path):
    path = tmp_path / "a.weights"
    path.write_bytes(Header().to_bytes("alexeyab") + np.arange(6, dtype="<f4").tobytes())
    (run,) = read_weights(path).runs
    for one in (run, run.reshape(2, -1)):
        array = np.asarray(one)
        assert (one.ndim, one.size, len(one), one.shape) == (array.ndim, array.size, len(array), array.shape)
