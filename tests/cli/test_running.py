"""The command `detect`."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from functools import partial

import conftest
import cv2
import numpy as np
import pytest
from conftest import ROOT, zoo_path

import darkshare
from darkshare._images import encoded
from darkshare.darknet.model import load, save
from darkshare.errors import BadValue, DarkshareWarning
from darkshare.inference.media import FORMATS
from darkshare.inference.media.videos import VideoFile
from darkshare.surgery.residual import branch

IS_5 = hasattr(cv2.dnn, "ENGINE_NEW")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    path.write_bytes(encoded(np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8), ".png"))
    return path


run = partial(conftest.run, "detect", code=0)


def test_writes_picture_table_and_json(model, photo, tmp_path):
    out = tmp_path / "out"
    result = run(model, photo, "-o", out, "--thresh", 0.2, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert rows
    assert {row["name"] for row in rows} <= {"cat", "dog"}
    assert {(row["picture"], row["task"]) for row in rows} == {(str(photo), "tiny")}
    assert all(0.2 < float(row["score"]) <= 1 for row in rows)
    assert f"1 of 1 pictures, {len(rows)} boxes; wrote " in result.stderr
    assert sorted(path.name for path in out.iterdir()) == ["photo.png", "result.json"]
    drawn = cv2.imread(str(out / "photo.png"))
    assert drawn.shape == (120, 160, 3)
    assert (drawn != cv2.imread(str(photo))).any()


def test_boxes_are_drawn_as_asked_for(model, photo, tmp_path):
    found = darkshare.Detector(load(model), threshold=0.2).detect(photo)
    for words, how in {
        ("--line-width", 4, "--no-labels"): {"line_width": 4, "labels": False},
        ("--legend", "--labels"): {"legend": True},
    }.items():
        run(model, photo, "-o", tmp_path / "out", "--thresh", 0.2, *words)
        drawn = darkshare.annotate(cv2.imread(str(photo)), found, **how)
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / "photo.png")), drawn)


@pytest.mark.parametrize("name", ["model.backup", "model_final.weights", "b/model_000100.weights", "model.conv.13"])
def test_weights_of_every_name_that_darknet_gives_are_known(model, photo, tmp_path, name):
    """As in allanzelener/YAD2K issue 79, where a .backup had to be renamed: it is the model's, not a picture."""
    other = tmp_path / name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(model.with_suffix(".weights").read_bytes()[:-400] + bytes(400))
    twin = tmp_path / "twin"
    twin.mkdir()
    shutil.copy(model.with_suffix(".names"), twin)
    own = [shutil.copy(file, twin / f"{model.stem}{suffix}") for file, suffix in ((model, ".cfg"), (other, ".weights"))]
    tables = [
        run(*files, photo, "-o", tmp_path / "out", "--thresh", 0.2, "--format", "csv")
        for files in ([model], own, [model, other])
    ]
    assert tables[1].stdout == tables[2].stdout != tables[0].stdout
    assert "1 of 1 pictures" in tables[2].stderr


def test_of_an_ensemble_its_vote_comes_and_its_branches_on_request(model, photo, tmp_path):
    ensemble, how = tmp_path / "votes", ("-o", tmp_path / "out", "--thresh", 0.2, "--format", "json")
    save(branch(load(model), 3, 2, widths=(4, 16)), ensemble)  # of full width, so each finds what the network does
    alone, vote = (json.loads(run(path, photo, *how).stdout)["rows"] for path in (model, f"{ensemble}.cfg"))
    assert alone
    assert vote == alone
    found = json.loads(run(f"{ensemble}.cfg", photo, *how, "--branches").stdout)["rows"]
    assert [row["task"] for row in found] == [name for name in ("tiny", "tiny-1", "tiny-2") for _ in alone]
    assert all(row["score"] == pytest.approx(found[i % len(alone)]["score"], abs=1e-4) for i, row in enumerate(found))
    run(f"{ensemble}.cfg", photo, *how, "--thresh", "tiny-1=0.3", code=1)


def test_json_is_darknets_plus_the_task(model, photo, tmp_path):
    out = tmp_path / "out"
    result = run(model, model.with_suffix(".weights"), photo, "-o", out, "--thresh", 0.2, "--format", "json")
    rows = json.loads(result.stdout)["rows"]
    (frame,) = json.loads((out / "result.json").read_text())
    assert list(frame) == ["frame_id", "filename", "objects"]
    assert (frame["frame_id"], frame["filename"]) == (1, str(photo))
    assert len(frame["objects"]) == len(rows)
    for item, row in zip(frame["objects"], rows, strict=True):
        assert list(item) == ["class_id", "name", "relative_coordinates", "confidence", "task"]
        assert item["name"] == ("cat", "dog")[item["class_id"]] == row["name"]
        assert item["confidence"] == pytest.approx(row["score"], abs=1e-4)
        place = item["relative_coordinates"]
        assert list(place) == ["center_x", "center_y", "width", "height"]
        assert row["x1"] == pytest.approx((place["center_x"] - place["width"] / 2) * 160, abs=0.51)
        assert row["y2"] == pytest.approx((place["center_y"] + place["height"] / 2) * 120, abs=0.51)


def test_one_bad_picture_does_not_stop_the_others(model, photo, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    out = tmp_path / "out"
    result = run(model, tmp_path / "nope.jpg", bad, photo, "-o", out, code=1)
    assert f"Error: {tmp_path / 'nope.jpg'}: cannot be read: No such file or directory" in result.stderr
    assert f"Error: {bad}: is not a picture that OpenCV can read" in result.stderr
    assert "1 of 3 pictures" in result.stderr
    assert [frame["filename"] for frame in json.loads((out / "result.json").read_text())] == [str(photo)]
    assert sorted(path.name for path in out.iterdir()) == ["photo.png", "result.json"]


def test_pictures_of_one_name_are_numbered(model, photo, tmp_path):
    other = tmp_path / "other" / "photo.png"
    other.parent.mkdir()
    other.write_bytes(photo.read_bytes())
    out = tmp_path / "out"
    run(model, photo, other, photo, "-o", out)
    assert sorted(path.name for path in out.iterdir()) == ["photo-2.png", "photo.png", "result.json"]


def test_inputs_are_never_replaced(model, photo):
    before = photo.read_bytes()
    result = run(model, photo, "-o", photo.parent, code=1)
    assert "photo.png: is an input and would be replaced; choose another -o" in result.stderr
    assert photo.read_bytes() == before
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


def test_a_format_that_cannot_be_written_becomes_png(model, photo, tmp_path):
    odd = photo.rename(photo.with_suffix(".picture"))
    run(model, odd, "-o", tmp_path / "out")
    assert (tmp_path / "out" / "photo.png").exists()


def test_options_reach_the_detector(model, photo, tmp_path):
    out = tmp_path / "out"

    def count(*options):
        return len(json.loads(run(model, photo, "-o", out, "--format", "json", *options).stdout)["rows"])

    everything = count("--thresh", 0.05, "--nms", 0)
    assert everything > count("--thresh", 0.05) > count("--thresh", 0.54) > 0
    assert count("--thresh", 1) == 0
    assert count("--thresh", 0.05, "--nms", 0, "--size", "64x32") == 2 * everything
    assert (
        count("--thresh", 0.05, "--nms", 0, "--engine", "opencv-classic" if IS_5 else "opencv", "--bn-epsilon", 0.001)
        > 0
    )


def test_thresholds_by_task(model, photo, tmp_path):
    def count(*options):
        words = [model, photo, "-o", tmp_path / "out", "--format", "json", "--nms", "tiny=0", *options]
        return len(json.loads(run(*words).stdout)["rows"])

    low, high = count("--thresh", 0.05), count("--thresh", 0.54)
    assert low > high > 0
    assert count("--thresh", "tiny=0.54") == high
    assert count("--thresh", "tiny=0.54", "--thresh", "0.05") == high
    assert count("--thresh", "0.54", "--thresh", "tiny=0.05") == low


@pytest.fixture
def rows(model, photo, tmp_path):
    """The rows that `detect` prints with some options, at a low threshold."""

    def rows_of(*options, source=photo, cfg=model):
        words = [cfg, source, "-o", tmp_path / "rows", "--format", "json", "--thresh", 0.05, *options]
        return json.loads(run(*words).stdout)["rows"]

    return rows_of


def test_agnostic_nms_may_be_written_in_several_ways(rows):
    default, agnostic = rows("--nms", 0.4), rows("--nms", "0.4,agnostic")
    assert 0 < len(agnostic) < len(default)
    assert {row["name"] for row in agnostic} == {"cat", "dog"}
    for words in (
        ["--nms", "agnostic, 0.4"],
        ["--nms", "0.4", "--nms", "tiny=agnostic"],
        ["--nms", "tiny=agnostic,0.4"],
        ["--nms", "agnostic", "--nms", "tiny=0.4"],
    ):
        assert rows(*words) == agnostic, words
    assert rows("--nms", "agnostic") == rows("--nms", "0.45,agnostic")


def test_classes_and_the_best_boxes(rows):
    every = rows()
    cats = [row for row in every if row["name"] == "cat"]
    assert 2 < len(cats) < len(every)
    assert rows("--classes", "cat") == cats
    assert rows("--classes", "cat", "--max-det", 2) == cats[:2]
    assert rows("--max-det", 3) == every[:3]
    assert rows("--classes", "dog, cat") == rows("--classes", "cat", "--classes", "dog") == every
    assert rows("--max-det", 1000) == every


def test_only_some_tasks_run(rows, model, photo, tmp_path):
    merged = darkshare.concat([load(model), load(model)], 2)
    names = [task.name for task in merged.tasks]
    save(merged, tmp_path / "both")
    both = {"cfg": tmp_path / "both.cfg"}
    every = rows(**both)
    assert {row["task"] for row in every} == set(names)
    for name in names:
        assert rows("--task", name, **both) == [row for row in every if row["task"] == name]
    assert rows("--task", ",".join(names), **both) == every
    found = darkshare.detect(tmp_path / "both.cfg", photo, output=tmp_path / "o", task=names[1], save="yolo", max_det=2)
    assert {row["task"] for row in found.rows()} == {names[1]}
    assert found.boxes == 2
    assert (tmp_path / "o" / "classes.names").read_text() == "cat\ndog\n"
    run(tmp_path / "both.cfg", photo, "--task", names[1], "--thresh", f"{names[0]}=0.3", code=1)


@pytest.mark.parametrize("save_as", ["json", "csv", "yolo"])
def test_clipped_boxes_lie_in_the_picture(model, photo, tmp_path, save_as):
    """--size makes boxes of the anchors' size reach beyond the edges."""

    def corners(*options):
        out = tmp_path / f"out{len(options)}"
        run(model, photo, "-o", out, "--thresh", 0.05, "--size", 32, "--save", save_as, *options)
        if save_as == "csv":
            table = csv.DictReader((out / "detections.csv").read_text().splitlines())
            return np.array([[float(row[key]) for key in ("x1", "y1", "x2", "y2")] for row in table])
        if save_as == "json":
            objects = json.loads((out / "result.json").read_text())[0]["objects"]
            keys = ("center_x", "center_y", "width", "height")
            places = np.array([[item["relative_coordinates"][key] for key in keys] for item in objects])
        else:
            places = np.loadtxt(out / "photo.txt", ndmin=2)[:, 1:]
        return np.hstack([places[:, :2] - places[:, 2:] / 2, places[:, :2] + places[:, 2:] / 2]) * [160, 120, 160, 120]

    free, clipped = corners(), corners("--clip")
    limits = [160, 120, 160, 120]
    assert (clipped > -0.01).all()
    assert (clipped < np.array(limits) + 0.01).all()
    if save_as == "yolo":
        np.testing.assert_array_equal(free, clipped)
    else:
        assert ((free < -1) | (free > np.array(limits) + 1)).any()
        inside = np.clip(free, 0, limits)
        np.testing.assert_allclose(clipped, inside[(inside[:, 2:] > inside[:, :2]).all(axis=1)], atol=0.02)


def test_tiles_are_looked_at_beside_the_picture(rows, clip, model, photo, tmp_path):
    whole, tiled = rows("--nms", 0), rows("--nms", 0, "--tiles", "2x1", "--overlap", 0.5)
    assert all(row in tiled for row in whole)
    assert len(tiled) == 3 * len(whole)  # it sees something everywhere, at any size
    assert rows("--tiles", "1x1") == rows()
    assert len(rows()) < len(rows("--tiles", 2)) < len(tiled)
    video = rows("--nms", 0, "--tiles", "2x1", "--limit", 2, source=clip)
    assert sum(row["boxes"] for row in video) == 6 * len(whole)
    assert rows("--tiles", "2x2", "--batch", 3) == rows("--tiles", "2x2")
    found = darkshare.detect(model, photo, output=tmp_path / "o", tiles=(2, 1), overlap=0.5, nms=0, thresh=0.05)
    assert found.rows() == tiled


@pytest.fixture
def clip(tmp_path):
    """A video of ten frames."""
    file = VideoFile(tmp_path / "clip.avi", (160, 120), 10)
    for number in range(10):
        file.add(np.random.default_rng(number // 3).integers(0, 256, (120, 160, 3), np.uint8), number + 1)
    file.close()
    return tmp_path / "clip.avi"


def test_a_video_becomes_a_video_and_lines_of_json(model, clip, tmp_path):
    out = tmp_path / "out"
    result = run(model, clip, "-o", out, "--every", 2, "--limit", 4, "--thresh", 0.54, "--format", "json")
    lines = [json.loads(line) for line in (out / "clip.jsonl").read_text().splitlines()]
    assert [line["frame_id"] for line in lines] == [1, 3, 5, 7]
    rows = json.loads(result.stdout)["rows"]
    assert [list(row) for row in rows] == [["source", "task", "class_id", "name", "frames", "boxes", "best"]] * len(
        rows
    )
    for row in rows:
        objects = [[o for o in line["objects"] if o["name"] == row["name"]] for line in lines]
        assert row["frames"] == sum(map(bool, objects))
        assert row["boxes"] == sum(map(len, objects))
        assert row["best"] == pytest.approx(max(o["confidence"] for found in objects for o in found), abs=1e-4)
    boxes = sum(len(line["objects"]) for line in lines)
    assert boxes > 0
    assert f"4 of 4 frames, {boxes} boxes, " in result.stderr
    assert result.stderr.endswith(f" frames/s; wrote {out / 'clip.avi'}, {out / 'clip.jsonl'}\n")
    played = cv2.VideoCapture(str(out / "clip.avi"))
    assert (played.get(cv2.CAP_PROP_FRAME_COUNT), played.get(cv2.CAP_PROP_FPS)) == (4, 5)


def test_batches_find_the_same(model, clip, photo, tmp_path):
    def everything(batch):
        out = tmp_path / f"out{batch}"
        run(model, clip, photo, "-o", out, "--batch", batch, "--save", "json,csv", "--thresh", 0.54)
        return [(out / name).read_bytes() for name in ("clip.jsonl", "result.json", "detections.csv")]

    assert everything(1) == everything(4)


def test_save_may_be_given_in_any_way(model, photo, clip, tmp_path):
    out = tmp_path / "out"
    run(model, photo, clip, "-o", out, "--save", "csv, yolo", "--save", "coco", "--limit", 2, "--thresh", 0.54)
    names = ["classes.names", "clip-000001.txt", "clip-000002.txt", "coco.json", "detections.csv", "photo.txt"]
    assert sorted(path.name for path in out.iterdir()) == names


def test_standard_input_holds_a_picture_or_names(model, photo, tmp_path):
    for number, given in enumerate([photo.read_bytes(), f"{photo}\nnope.png\n".encode()]):
        out, code = tmp_path / f"out{number}", number
        run(model, "-", "-o", out, input=given, code=code)
        assert (
            sorted(path.name for path in out.iterdir())
            == [["result.json", "stdin.png"], ["photo.png", "result.json"]][number]
        )


def test_many_errors_are_counted(model, photo, tmp_path):
    missing = [f"nope-{number}.png" for number in range(25)]
    result = run(model, *missing, photo, "-o", tmp_path / "out", code=1)
    assert result.stderr.count("cannot be read: No such file") == 20
    assert result.stderr.count("there are more such errors") == 1
    assert "1 of 26 pictures" in result.stderr


def test_a_broken_video_does_not_stop_the_others(model, clip, photo, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video" * 100)
    result = run(model, bad, clip, photo, "-o", tmp_path / "out", "--thresh", 1, code=1)
    assert f"Error: {bad}: is not a video that OpenCV can read" in result.stderr
    assert "11 of 12 frames" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("clip.avi", "clip.jsonl", "photo.png", "result.json")
    ]


@pytest.mark.parametrize("container", [".mp4", ".webm"])
def test_what_browsers_play_is_said_once_and_codecs_are_silent(model, clip, tmp_path, container):
    other = tmp_path / "other.avi"
    other.write_bytes(clip.read_bytes())
    words = ["detect", str(model), str(clip), str(other), "-o", str(tmp_path / "out"), "--thresh", "1"]
    command = [sys.executable, "-m", "darkshare", *words, "--container", container]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0
    *notes, summary = done.stderr.splitlines()
    assert summary.startswith("20 of 20 frames, 0 boxes, ")
    fourcc = int(cv2.VideoCapture(str(tmp_path / "out" / f"clip{container}")).get(cv2.CAP_PROP_FOURCC))
    plays = fourcc.to_bytes(4, "little").lower() in (b"h264", b"avc1", b"vp80")
    assert [note.startswith("Note: ") and "browsers do not play it" in note for note in notes] == [True] * (not plays)


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals to open")
def test_a_terminal_sees_progress_and_a_pipe_does_not(model, clip, tmp_path):
    read, write = os.openpty()
    words = ["detect", str(model), str(clip), "nope.png", "-o", str(tmp_path / "out"), "--thresh", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    run_ = [sys.executable, "-m", "darkshare", *words]
    done = subprocess.run(run_, stdout=subprocess.PIPE, stderr=write, env=environment, check=False)
    os.close(write)
    shown = os.read(read, 100_000).decode()
    os.close(read)
    assert done.returncode == 1
    assert done.stdout == b"\n"
    assert "11/11" in shown
    assert "frames/s" in shown
    assert "Error: nope.png: cannot be read: No such file" in shown
    assert "#" not in run(*words[1:-1], "1", code=1).stderr


def test_nothing_found_is_no_error(model, photo, tmp_path):
    result = run(model, photo, "-o", tmp_path / "out", "--thresh", 1, "--format", "json")
    found = json.loads(result.stdout)
    assert (found["rows"], found["notes"], found["done"], found["boxes"]) == ([], [], 1, 0)
    assert "1 of 1 pictures, 0 boxes" in result.stderr
    (frame,) = json.loads((tmp_path / "out" / "result.json").read_text())
    assert frame["objects"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{model}"], 2, "give at least one picture, video or other source behind the model"),
        (["{photo}"], 2, "give a model: a .cfg, or a file that export wrote"),
        (["{model}", "{model}", "{photo}"], 2, "give one model; 2 were given"),
        (["{model}", "{photo}", "--thresh", "2"], 2, "2.0 is not in the range"),
        (["{model}", "{photo}", "--bn-epsilon", "0"], 1, "the batch norm epsilon must be above 0"),
        (["{model}", "{photo}", "--engine", "fast"], 2, "'fast' is not one of 'opencv', 'opencv-classic'"),
        (["{model}", "{photo}", "--thresh", "dogs=0.3"], 1, "unknown task dogs; the tasks are tiny"),
        (["{model}", "{photo}", "--nms", "tiny="], 2, "'' is not a valid float"),
        (["{model}", "{photo}", "--nms", "all"], 2, "'all' is not a valid float"),
        (["{model}", "{photo}", "--nms", "0.4", "--nms", "agnostic"], 2, "'--nms': is given 2 times"),
        (["{model}", "{photo}", "--nms", "0.3,0.4"], 2, "'0.3,0.4' has two levels; write 0.4, agnostic, or 0.4,agno"),
        (["{model}", "{photo}", "--nms", "0,agnostic"], 1, "nms 0 keeps all boxes, so 'agnostic' would do nothing"),
        (["{model}", "{photo}", "--nms", "dogs=agnostic"], 1, "unknown task dogs; the tasks are tiny"),
        (["{model}", "{photo}", "--classes", "dogs,cat"], 1, "there is no class 'dogs'; is 'dog' meant?"),
        (["{model}", "{photo}", "--classes", "zebra"], 1, "there is no class 'zebra'; there are cat, dog"),
        (["{model}", "{photo}", "--task", "tinny"], 1, "there is no task 'tinny'; is 'tiny' meant?"),
        (["{model}", "{photo}", "--max-det", "0"], 2, "0 is not in the range"),
        (["{model}", "{photo}", "--tiles", "2by2"], 2, "'2by2' is not a number of tiles; write 2x2 or 3x2"),
        (["{model}", "{photo}", "--tiles", "0x2"], 1, "tiles=0 must be at least 1"),
        (["{model}", "{photo}", "--tiles", "2x2", "--overlap", "1"], 2, "1.0 is not in the range"),
        (["{model}", "{photo}", "--overlap", "0.3"], 2, "overlap is that of tiles; give tiles too"),
        (["{model}", "{photo}", "--save", "json,xml"], 2, "'xml' is not one of"),
        (["{model}", "{photo}", "--save", "video"], 1, "to save a video, name a video, camera or stream"),
        (["{model}", "{photo}", "--every", "0"], 2, "0 is not in the range"),
        (["{model}", "{photo}", "--precision", "bf16"], 1, "engine opencv cannot compute in bf16"),
        (["{model}", "{photo}", "--size", "0"], 1, "the network has no input"),
    ],
)
def test_wrong_use_is_reported(model, photo, arguments, code, message):
    result = run(*(a.format(model=model, photo=photo) for a in arguments), code=code)
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_missing_weights_file_is_reported(model, photo, tmp_path):
    model.with_suffix(".weights").unlink()
    result = run(model, photo, "-o", tmp_path / "out", code=1)
    assert "tiny.cfg: has no weights file; give one behind the cfg" in result.stderr
    assert not (tmp_path / "out").exists()


def test_help_ends_with_examples():
    assert "darkshare detect both.cfg both.weights street.jpg -o out" in run("--help").output


def test_the_function_does_what_the_command_does(model, photo, clip, tmp_path):
    printed = run(model, photo, clip, "-o", tmp_path / "a", "--thresh", 0.5, "--limit", 2, "--format", "json")
    found = darkshare.detect(model, [photo, clip], output=tmp_path / "b", thresh=0.5, limit=2)
    assert json.loads(printed.stdout)["rows"] == found.rows()
    names = [sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in "ab"]
    assert names[0] == names[1]
    assert repr(found).startswith(f"<DetectionRun: 3 of 3 frames, {found.boxes} boxes, ")
    assert "<td>tiny</td>" in found._repr_html_()
    assert len(found.to_dataframe()) == len(found.rows())


def test_the_function_warns_of_what_fails_and_goes_on(model, photo, tmp_path):
    with pytest.warns(DarkshareWarning, match=r"nope\.png: cannot be read"):
        found = darkshare.detect(load(model), ["nope.png", photo], output=tmp_path / "out", save="csv", nms={"tiny": 0})
    assert (found.done, found.failed, found.interrupted) == (1, 1, False)
    assert found.files == (tmp_path / "out" / "detections.csv",)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"save": ("json", "xml")}, f"nothing is saved as xml; use {', '.join(FORMATS)}"),
        ({"container": ".mov"}, r"no video is written as \.mov; use \.avi, \.mkv, \.mp4"),
        ({"batch": 0}, "batch must be at least 1, not 0"),
        ({"every": 0}, "every must be at least 1, not 0"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
        ({"thresh": {"dogs": 0.3}}, "unknown task dogs; the tasks are tiny"),
        ({"engine": "fast"}, "unknown engine fast"),
        ({"nms": "some"}, "nms is a number between 0 and 1, 'agnostic', or both, not 'some'"),
        ({"classes": ("dogs",)}, "there is no class 'dogs'; is 'dog' meant?"),
        ({"task": "tinny"}, "there is no task 'tinny'; is 'tiny' meant?"),
        ({"max_det": 0}, "max_det=0 must be at least 1"),
        ({"tiles": (1, 0)}, "tiles=0 must be at least 1"),
    ],
)
def test_the_function_refuses_what_the_command_refuses(model, photo, tmp_path, how, says):
    with pytest.raises(BadValue, match=says):
        darkshare.detect(model, photo, output=tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()


def test_an_own_threshold_wins_over_that_of_all_others(model, photo, tmp_path):
    def boxes(thresh):
        return darkshare.detect(model, photo, output=tmp_path / "out", thresh=thresh).boxes

    assert boxes({"": 0.05}) == boxes(0.05) > boxes({"": 0.05, "tiny": 0.54}) == boxes({"tiny": 0.54}) > 0


@pytest.mark.zoo
def test_a_real_photo(tmp_path):
    cfg = zoo_path("models", "f11-plate", "f11-plate.cfg")
    result = run(cfg, zoo_path("media", "car-with-plate.jpg"), "-o", tmp_path, "--format", "json")
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["task"], row["name"]) == ("f11-plate", "license plate")
