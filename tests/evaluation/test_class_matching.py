"""Classes of a data set and of a task."""

from __future__ import annotations

import re

import pytest
from synthetic import SIZE, dataset, detections

from darkshare.data import Dataset
from darkshare.data.classes import in_order, united, with_classes
from darkshare.errors import BadValue
from darkshare.evaluation import (
    evaluate_detections,
)
from darkshare.evaluation.classes import match_classes


def matched(names, given, by_order=False, **renamed):
    return match_classes("task", names, "data", given, renamed, by_order=by_order)


def test_classes_are_matched_by_name():
    assert matched(("a", "b"), ("a", "b")) == ((0, 1), ())
    classes, (note,) = matched(("a", "b"), ("b", "a"))
    assert classes == (1, 0)
    assert "another order" in note
    classes, (note,) = matched(("a", "b", "c"), ("c",))
    assert classes == (2,)
    assert note == "data has no labels for a, b of task, which do not count"


def test_a_class_that_the_task_does_not_know_is_never_guessed():
    with pytest.raises(BadValue, match=r"does not know: Person; task has person: say which.*--map 'Person=person'"):
        matched(("person",), ("Person",))
    with pytest.raises(BadValue, match="task has no class human; it has person"):
        matched(("person",), ("Person",), Person="human")
    with pytest.raises(
        BadValue, match="data has no class persno to be counted otherwise; it has person; is 'person' meant"
    ):
        matched(("person",), ("person",), persno="")
    with pytest.raises(BadValue, match="several classes called a"):
        matched(("a", "a"), ("a",))


@pytest.mark.parametrize(
    ("names", "given", "hint"),
    [
        (("bicycle", "Traffic-Light"), ("bicycle", "motorcycle", "traffic_lights"), "traffic_lights=Traffic-Light"),
        (("person", "motorbike"), ("motorcycle",), "motorcycle=CLASS"),
        (("mask", "cat", "male"), ("no mask", "car", "female"), "no mask=CLASS"),
        (("person",), ("person", "Person"), "Person=CLASS"),  # taken already
        (("自転車",), ("自転車 ",), "自転車 =自転車"),
    ],
)
def test_a_pair_is_proposed_only_where_names_differ_in_their_writing(names, given, hint):
    with pytest.raises(
        BadValue, match=re.escape(f"--map '{hint}', or leave it out with --map '{hint.split('=')[0]}='")
    ):
        matched(names, given)


def test_classes_can_be_mapped_merged_and_left_out():
    classes, notes = matched(
        ("vehicle", "person"), ("car", "bus", "person", "tree"), car="vehicle", bus="vehicle", tree=""
    )
    assert classes == (0, 0, 1, -1)
    assert notes == ("tree of data is left out", "counted under another name: car as vehicle, bus as vehicle")


def test_classes_can_be_matched_by_order_on_request():
    classes, notes = matched(("a", "b"), ("x", "b"), by_order=True)
    assert (classes, notes) == ((0, 1), ("x is counted as a",))
    with pytest.raises(BadValue, match="2 classes and data has 1"):
        matched(("a", "b"), ("x",), by_order=True)


def test_the_classes_of_the_data_set_are_counted_as_those_of_the_task():
    truths = [(0, 0, 0.2, 0.5, 0.2, 0.2, 0), (0, 1, 0.8, 0.5, 0.2, 0.2, 0), (0, 2, 0.5, 0.5, 0.2, 0.2, 0)]
    found = [(0, 1, 0.9, 0.2, 0.5, 0.2, 0.2), (0, 0, 0.9, 0.8, 0.5, 0.2, 0.2), (0, 2, 0.9, 0.1, 0.1, 0.1, 0.1)]
    made = evaluate_detections(
        detections(found, 1, ("a", "b", "z")), dataset(truths, 1, ("b", "a", "x")), [SIZE], map={"x": ""}
    )
    assert [(one.class_id, one.name, one.ap) for one in made.classes] == [(0, "a", 1), (1, "b", 1)]
    assert made.mean == 1
    assert len(made.remarks) == 3


def test_many_names_are_matched_without_comparing_each_with_each():
    compared = [0]

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            compared[0] += 1
            return str.__eq__(self, other)

        def __ne__(self, other):
            return not self == other

    names, given = ([Name(f"class {i}") for i in order] for order in (range(500), range(499, -1, -1)))
    assert match_classes("m", names, "d", given, {}, by_order=False).classes == tuple(range(499, -1, -1))
    parts = {part: Dataset(part, tuple(map(Name, its)), ()) for part, its in (("train", names), ("valid", given))}
    assert united(parts)["valid"].names == tuple(names)
    assert with_classes(united(parts), keep=given)["train"].names == tuple(given)
    assert in_order(parts["valid"], names).names == tuple(names)
    assert 0 < compared[0] < 20 * 500
