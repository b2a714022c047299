"""Pictures that are there twice: in one list a warning, in two lists an error, and left out on request."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import growth, needs_torch, run
from labelled import draw, write_data, write_picture

from darkshare.data import Dataset, import_data, read_data
from darkshare.data.negatives import SMALL, lack_of_negatives, with_negatives
from darkshare.data.twins import cure, twins_in, without_twins
from darkshare.data.types import Box, Sample
from darkshare.errors import DarkshareError


@pytest.fixture
def data(tmp_path) -> Path:
    """16 pictures to train on and 4 to validate on: 0 = 1 in one list, 2 = 16 and 3 = 17 in both."""
    found = draw(tmp_path, 20)
    for one, other in ((1, 0), (16, 2), (17, 3)):
        (tmp_path / "images" / f"{one}.png").write_bytes((tmp_path / "images" / f"{other}.png").read_bytes())
    return write_data(tmp_path, found, valid=4)


def test_twins_in_two_lists_are_an_error(data, tmp_path):
    error = "2 of 4 valid pictures are train pictures too (16.png = 2.png, 17.png = 3.png); measured on them, "
    with pytest.raises(DarkshareError) as caught:
        import_data(data, tmp_path / "new")
    assert str(caught.value) == f"{data}: {error}results are too good; --drop-twins leaves them out"
    assert not (tmp_path / "new").exists()
    run("import-data", data, "-o", tmp_path / "new", code=1)
    assert "16.png: error: is the same picture as" in run("check", data, code=1).stdout


def test_twins_in_one_list_are_a_warning(data, tmp_path):
    result = run("import-data", data, "-o", tmp_path / "new", "--split", 0.2, code=0)
    assert result.stderr.count("is the same picture as") == 3
    (tmp_path / "valid.txt").write_text(f"{tmp_path}/images/18.png\n{tmp_path}/images/19.png\n")
    result = run("check", data, code=0)
    assert "images/1.png: warning: is the same picture as" in result.stdout


def test_they_are_left_out_of_what_is_trained_on(data, tmp_path):
    done = import_data(data, tmp_path / "new", drop_twins=True)
    names = {part: [sample.picture.name for sample in one.samples] for part, one in done.parts.items()}
    assert names == {
        "train": ["0.png", *(f"{number}.png" for number in range(4, 16))],
        "valid": ["16.png", "17.png", "18.png", "19.png"],
    }
    assert [one.text.endswith("left out") for one in done.findings] == [True] * 3
    assert len(read_data(done.path, "train").samples) == 13
    assert run("check", done.path, code=0).stdout.count("the same picture") == 0
    run("import-data", data, "-o", tmp_path / "again", "--drop-twins", code=0)


def test_the_same_file_in_both_lists_is_a_twin_too(tmp_path):
    one = draw(tmp_path, 3)
    found = twins_in({"train": one, "valid": one})
    assert [(twin.picture, twin.part, twin.first) for twin in found] == [
        (sample.picture, "valid", "train") for sample in one.samples
    ]
    kept, _ = without_twins({"train": one, "valid": one})
    assert {part: len(dataset.samples) for part, dataset in kept.items()} == {"train": 0, "valid": 3}
    assert cure({"train": one, "valid": one}) == ("--split", "0.2")
    assert cure({"train": one, "valid": replace(one, samples=one.samples[1:])}) == ("--drop-twins",)


def test_one_list_for_both_is_divided_anew(data, tmp_path):
    """Without its twins nothing would be left to train on, and each picture counts once in what is divided."""
    listed = tmp_path / "train.txt"
    listed.write_text(f"{listed.read_text()}gone.png\n")
    data.write_text(data.read_text().replace("valid.txt", "train.txt"))
    for more in ([], ["--drop-twins"]):
        result = run("import-data", data, "-o", tmp_path / "new", *more, code=1)
        finding, error = result.stderr.splitlines()
        assert finding == f"{listed}:17: gone.png: no such picture; left out"
        assert error == (
            f"Error: {data}: 16 of 16 valid pictures are train pictures too (0.png, 1.png = 0.png, 2.png, …); "
            "measured on them, results are too good; --split 0.2 divides them anew"
        )
    run("import-data", data, "-o", tmp_path / "new", "--split", 0.2, code=0)
    lists = [read_data(tmp_path / "new" / "new.data", part).samples for part in ("train", "valid")]
    assert [len(samples) for samples in lists] == [13, 3]  # of 15 different ones, 3 are set aside; 0 and 1 are twins
    assert len({sample.picture for samples in lists for sample in samples}) == 16


def test_a_picture_twice_in_one_list_is_left_out_on_request(data, tmp_path):
    listed = tmp_path / "train.txt"
    listed.write_text(listed.read_text() + f"{tmp_path}/images/5.png\n")
    assert len(import_data(data, tmp_path / "a", drop_twins=True).parts["train"].samples) == 13
    data.write_text(data.read_text().replace(f"valid={tmp_path}/valid.txt\n", ""))
    assert len(import_data(data, tmp_path / "b", split=0).parts["train"].samples) == 17
    done = import_data(data, tmp_path / "c", split=0, drop_twins=True)
    assert len(done.parts["train"].samples) == 15
    assert str(done.findings[-1]).endswith("5.png: is the same picture as " + f"{tmp_path}/images/5.png; left out")


def test_what_is_only_for_validation_is_divided(data, tmp_path):
    data.write_text(data.read_text().replace("train=", "test="))
    data.write_text("".join(line for line in data.read_text().splitlines(True) if not line.startswith("test")))
    done = import_data(data, tmp_path / "new")
    assert {part: len(one.samples) for part, one in done.parts.items()} == {"train": 3, "valid": 1}


def test_training_tells_of_twins_with_the_command_that_helps(base, data, tmp_path, monkeypatch):
    needs_torch()
    monkeypatch.setattr("darkshare.training.journal.plot_training", lambda entries, path, **how: path.touch())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    words = ("train", base, data, "--k", 4, "--batches", 1, "--batch", 4, "--threads", 1, "--workers", 0, "-o", "t")
    said = run(*words, code=0).stderr
    assert "2 of 4 valid pictures are train pictures too" in said
    assert f"next: darkshare import-data {data} -o NEW --drop-twins" in said
    assert "None of the 16 pictures to train on is without objects" in said
    run("import-data", data, "-o", "NEW", "--drop-twins", code=0)
    assert "pictures too" not in run(*words[:2], "NEW/NEW.data", *words[3:-1], "u", code=0).stderr


def test_only_files_of_one_length_are_read(tmp_path, monkeypatch):
    read: list[Path] = []

    def content(path: Path) -> str:
        read.append(path)
        return path.read_bytes().hex()

    monkeypatch.setattr("darkshare.data.twins.sha256", content)
    for number, length in enumerate((3, 4, 4, 5)):
        (tmp_path / f"{number}.png").write_bytes(bytes([number] * length))
    samples = tuple(Sample(path, ()) for path in sorted(tmp_path.iterdir()))
    assert twins_in({"train": Dataset("x", ("a",), samples)}) == []
    assert [path.name for path in read] == ["1.png", "2.png"]


@pytest.mark.slow
def test_time_grows_with_the_number_of_pictures(tmp_path):
    def prepared(count):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.png").write_bytes(random.Random(number).randbytes(100))
        samples = tuple(Sample(path, ()) for path in folder.iterdir())
        return lambda: twins_in({"train": Dataset("x", ("a",), samples)})

    assert growth(prepared, 500) < 8


def of(labelled: int, empty: int) -> Dataset:
    boxes = (Box(0, 0.5, 0.5, 0.1, 0.1),)
    samples = [*[Sample(Path("a.png"), boxes)] * labelled, *[Sample(Path("b.png"), ())] * empty]
    return Dataset("x", ("a",), tuple(samples))


@pytest.mark.parametrize(
    ("labelled", "empty", "begin"),
    [
        (160, 0, "None of the 160 pictures to train on is without objects"),
        (159, 1, "1 of the 160 pictures to train on is without objects"),
        (97, 3, "3 of the 100 pictures to train on are without objects"),
        (95, 5, None),
        (80, 80, None),
        (SMALL - 1, 0, "None of the 999 pictures"),
        (SMALL, 0, None),
        (0, 0, None),
    ],
)
def test_a_small_set_needs_pictures_without_objects(labelled, empty, begin):
    lines = lack_of_negatives(of(labelled, empty), Path("cells/train.txt"))
    assert (lines[0].startswith(begin) if lines else None) == (None if begin is None else True)
    assert all(len(line) <= 80 for line in lines[:-1])


@pytest.mark.parametrize("listed", [None, Path("x/train.txt")])
def test_the_advice_fits_a_terminal(listed):
    lines = lack_of_negatives(of(160, 0), listed)
    assert all(len(line) <= 80 for line in lines if "for f in" not in line)
    assert ("--negatives FOLDER takes" in " ".join(lines)) == (listed is None)


def test_pictures_of_a_folder_become_negatives(tmp_path):
    """As many as show objects, the same ones for the same seed; what is trained on already is not one of them."""
    learn = draw(tmp_path / "in", 6)
    inner = tmp_path / "street" / "day"
    inner.mkdir(parents=True)
    for number in range(8):
        write_picture(inner / f"{number}.png", seed=100 + number)
        inner.joinpath(f"{number}.txt").write_text("0 .5 .5 .1 .1\n")
    inner.joinpath("again.png").write_bytes(learn.samples[0].picture.read_bytes())
    found, said = with_negatives(learn, tmp_path / "street", 3)
    fresh = found.samples[6:]
    assert said == f"6 of 8 pictures of {tmp_path / 'street'} show nothing that is to be found"
    assert found.samples[:6] == learn.samples
    assert len({sample.picture for sample in fresh}) == 6
    assert all(sample.boxes == () and sample.picture.parent == inner for sample in fresh)
    assert inner / "again.png" not in {sample.picture for sample in fresh}
    assert with_negatives(learn, str(tmp_path / "street"), 3)[0] == found
    assert any(with_negatives(learn, tmp_path / "street", seed)[0] != found for seed in range(4, 8))


@pytest.mark.parametrize(("pictures", "why"), [([], "holds no pictures"), ([0, 1], "holds only pictures that are")])
def test_a_folder_without_other_pictures_is_refused(tmp_path, pictures, why):
    learn = draw(tmp_path / "in", 2)
    (tmp_path / "other").mkdir()
    for number in pictures:
        (tmp_path / "other" / f"{number}.png").write_bytes(learn.samples[number].picture.read_bytes())
    with pytest.raises(DarkshareError, match=f"other: {why}"):
        with_negatives(learn, tmp_path / "other", 0)


def test_the_cure_for_too_few_negatives_works_as_it_is_printed(tmp_path, monkeypatch):
    import subprocess

    monkeypatch.chdir(tmp_path)
    found = draw(tmp_path / "in", 8)
    data = write_data(tmp_path / "in", found)
    shown = run("import-data", data, "-o", "my set", "--split", 0, code=0).stdout
    command = next(line for line in shown.splitlines() if line.startswith("for f in"))
    (tmp_path / "no thing").mkdir()
    for number, sample in enumerate(found.samples[:8]):
        image = sample.picture.read_bytes() + bytes([number])
        (tmp_path / "no thing" / f"{number} x.jpg").write_bytes(image)
    subprocess.run(command.replace("NEGATIVES", "'no thing'"), shell=True, check=True)
    again = read_data("my set/my set.data", "train")
    assert sum(not sample.boxes for sample in again.samples) == 8
    assert lack_of_negatives(again, Path("x")) == []
