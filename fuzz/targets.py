"""The table of targets: a function that takes any bytes and returns or raises DarkshareError, and inputs for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import annotation_targets as labelled
import darknet_itself
import darknet_targets as darknet
import other_targets as other
from mutation import Mutation, break_cfg, break_json, break_lines, break_xml


class Target(NamedTuple):
    """A function under attack.

    Attributes:
        prepare: makes the function; it may keep files in the folder that it is given.
        seeds: valid inputs, and nearly valid ones.
        words: a dictionary for changes of bytes.
        breaks: changes one thing of a valid input.
        modules: whose lines are counted, packages with all that they hold.
        share: of the time of a run.
    """

    prepare: Callable[[Path], Callable[[bytes], object]]
    seeds: Callable[[], list[bytes]]
    words: Callable[[], list[bytes]]
    breaks: Mutation
    modules: tuple[str, ...]
    share: float = 1.0


_CFG = ("darknet.cfg", "darknet.network", "darknet.kinds")
_JSON = ("data.formats.coco_json", "data.annotated", "data.pictures")
TARGETS = {
    "cfg": Target(darknet.cfg, darknet.cfgs, darknet.cfg_words, break_cfg, _CFG, 12),
    "check": Target(darknet.check_cfg, darknet.cfgs, darknet.cfg_words, break_cfg, (*_CFG, "analysis.check"), 2),
    "numbers": Target(
        darknet.numbers_in_c, darknet.numbers, darknet.number_words, break_lines, ("darknet.kinds.reading",), 1
    ),
    "weights": Target(
        darknet.weights,
        darknet.weights_seeds,
        darknet.weights_words,
        darknet.break_weights,
        ("darknet.weights", "darknet.wrong_size"),
        8,
    ),
    "tasks": Target(darknet.tasks, darknet.tasks_seeds, other.json_words, break_json, ("darknet.tasks",)),
    "names": Target(
        darknet.names,
        darknet.names_seeds,
        other.text_words,
        break_lines,
        ("darknet.names", "_texts"),
    ),
    "labels": Target(
        darknet.labels, darknet.labels_seeds, darknet.number_words, break_lines, ("data.labels", "_texts")
    ),
    "voc": Target(
        labelled.voc,
        labelled.voc_seeds,
        labelled.voc_words,
        break_xml,
        ("data.formats.voc", "data.formats.xml", "data.annotated", "data.pictures"),
    ),
    "coco": Target(labelled.coco, labelled.coco_seeds, other.json_words, break_json, ("data.formats.coco", *_JSON)),
    "coco-text": Target(
        labelled.coco_text,
        labelled.coco_text_seeds,
        other.json_words,
        break_json,
        ("data.formats.coco_text", *_JSON),
    ),
    "formats": Target(
        labelled.formats,
        labelled.format_seeds,
        labelled.voc_words,
        labelled.break_source,
        ("data.formats", "data.annotated", "data.pictures", "data.darknet", "data.lists", "data.datafiles"),
    ),
    "recipes": Target(other.recipes, other.recipe_seeds, other.recipe_words, break_json, ("surgery.mix_recipe",)),
    "onnx": Target(
        other.onnx_files,
        other.onnx_seeds,
        other.json_words,
        other.break_onnx,
        ("inference.onnx.reading", "inference.onnx.wire", "inference.onnx.checking"),
    ),
    "onnx-weights": Target(
        other.onnx_weights,
        other.onnx_seeds,
        other.json_words,
        other.break_onnx,
        ("inference.onnx.initializers", "training.importing"),
    ),
    "journals": Target(other.journals, other.journal_seeds, darknet.number_words, break_lines, ("training.journal",)),
    "losses": Target(
        other.losses, other.loss_seeds, other.text_words, break_lines, ("choose_k.task_cuts", "choose_k.fronts")
    ),
    "html": Target(other.pages, other.html_seeds, other.html_words, other.break_fields, ("analysis.html",)),
}
if darknet_itself.PROGRAMS:
    TARGETS["table"] = Target(darknet_itself.table, darknet.cfgs, darknet.cfg_words, break_cfg, _CFG)
