"""`train`: from a base and a data set on disk to the files of the trained network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, overload

from darkshare._files import is_folder
from darkshare.darknet.model import Model, stem_of
from darkshare.darknet.typed import next_command
from darkshare.data import (
    ClassifiedDataset,
    Dataset,
    is_divided,
    read_class_folders,
    read_classes,
    read_data,
    read_options,
)
from darkshare.data import split as split_off
from darkshare.data.datafiles import DataFile, named_file
from darkshare.data.findings import joined, warn_of
from darkshare.data.negatives import lack_of_negatives
from darkshare.data.twins import counted, cure, twins_in
from darkshare.errors import DarkshareError, checked, require_least, warn
from darkshare.evaluation import classifier_accuracy, evaluate_model
from darkshare.training.guards import require_pictures, require_torch
from darkshare.training.outcome import Outcome, Outcomes
from darkshare.training.run import Training
from darkshare.training.settings import Changes, Judge, Options, TrainingWatch
from darkshare.training.side_by_side import named, run_side_by_side
from darkshare.training.timing import within

AnyDataset = Dataset | ClassifiedDataset
Data = str | os.PathLike[str] | AnyDataset | tuple[AnyDataset, AnyDataset]
_KEPT = ("train", "valid", "test", "difficult")
_PARTS = ("train", "valid", "test")
_SHARE = 0.2  # of a folder of classes, to validate on


@overload
def train(
    base: Model, data: Data, *,
    k: int, output: str | os.PathLike[str] = "trained",
    epochs: float | None = None, batches: int | None = None, minutes: float | None = None, batch: int | None = None,
    subdivisions: int | None = None, lr: float | str | None = None, size: tuple[int, int] | None = None,
    side: str | None = None, teacher: str | os.PathLike[str] | None = None, recipe: str = "steady",
    negatives: str | os.PathLike[str] | None = None, seed: int = 0, device: str = "auto", threads: int | None = None,
    workers: int = 2, amp: bool = False, ema: float | None = None, bn_eval: bool = False, augment: bool = True,
    split: float | None = None, validate_every: int | None = None, patience: int | None = None, cache_features: int = 0,
    cache_anyway: bool = False, checkpoint_every: float = 60, resume: bool = False, watch: TrainingWatch | None = None,
) -> Outcome: ...  # fmt: skip


@overload
def train(
    base: Model, data: list[Any] | Mapping[str, Any], *,
    k: int, output: str | os.PathLike[str] = "trained",
    epochs: float | None = None, batches: int | None = None, minutes: float | None = None, batch: int | None = None,
    subdivisions: int | None = None, lr: float | str | None = None, size: tuple[int, int] | None = None,
    side: str | None = None, teacher: str | os.PathLike[str] | None = None, recipe: str = "steady",
    negatives: str | os.PathLike[str] | None = None, seed: int = 0, device: str = "auto", threads: int | None = None,
    workers: int = 2, amp: bool = False, ema: float | None = None, bn_eval: bool = False, augment: bool = True,
    split: float | None = None, validate_every: int | None = None, patience: int | None = None, cache_features: int = 0,
    cache_anyway: bool = False, checkpoint_every: float = 60, resume: bool = False, watch: TrainingWatch | None = None,
) -> Outcomes: ...  # fmt: skip


@checked
def train(  # noqa: D417 - some are described together
    base: Model, data: Data | list[Any] | Mapping[str, Data], *,
    k: int, output: str | os.PathLike[str] = "trained",
    epochs: float | None = None, batches: int | None = None, minutes: float | None = None, batch: int | None = None,
    subdivisions: int | None = None, lr: float | str | None = None, size: tuple[int, int] | None = None,
    side: str | None = None, teacher: str | os.PathLike[str] | None = None, recipe: str = "steady",
    negatives: str | os.PathLike[str] | None = None, seed: int = 0, device: str = "auto", threads: int | None = None,
    workers: int = 2, amp: bool = False, ema: float | None = None, bn_eval: bool = False, augment: bool = True,
    split: float | None = None, validate_every: int | None = None, patience: int | None = None, cache_features: int = 0,
    cache_anyway: bool = False, checkpoint_every: float = 60, resume: bool = False, watch: TrainingWatch | None = None,
) -> Outcome | Outcomes:  # fmt: skip
    """Train a network from layer k on; the layers before stay the base's, byte for byte.

    Args:
        base: a model of one task, or an ensemble; its weights may end behind layer k-1, and with k=0 be missing.
        data: a .data file, or a folder with a folder of pictures per class. A data set that is in memory is only
            learned from; a pair of them is learned from and validated on. A list of all these, or a mapping from names
            to them, is a task each, trained side by side.
        k: layers 0..k-1 stay as they are; 0 trains all.
        output: the path of the new files, without suffix; of several tasks, `-` and the task's name follow.
        epochs, batches: how often each picture is seen, or how many updates are made, instead of the cfg's max_batches.
        minutes: about as long as it may take: a few updates are timed, and at most as many made as fit.
        batch, subdivisions, lr, size: instead of the cfg's; size is (width, height), lr="auto" that of a range test.
        side: own layers beside those that stay: "ladder", "ladder:16" for their width, "ladder:3%" for their FLOPs.
        teacher: the .cfg of the same network trained with k=0, whose features and boxes are learned from, too; a base
            for other classes begins from its layers k and on.
        recipe: steady, or darknet for what the cfg says and nothing else; see `recipes`.
        negatives: a folder of pictures without objects; at most as many as show some are taken.
        seed: of all that is random.
        threads, workers: threads that torch computes with, and that make pictures.
        device, amp: auto, cpu or cuda; and mixed precision, for GPUs.
        ema: the share of the mean of the weights that an update keeps, of 0..1; None for the cfg's or the recipe's.
        bn_eval: batch norm with the base's statistics, for very small batches.
        augment: change pictures at random as the cfg says; without it, they are as inference sees them.
        split: the share of a folder of classes without train and val to validate on; 0 for none, None for 0.2.
        validate_every: updates between two validations; 0 for none, None for 10 in all.
        patience: validations without a better one after which it ends; 0 for all of them, None for the recipe's.
        cache_features, cache_anyway: how many copies of each picture go through the trunk once, for the whole training;
            and whether that is done where it is not 1.5 times as fast.
        checkpoint_every, resume: seconds between two checkpoints; go on from one, to the same result.
        watch: is informed of what happens.

    Raises:
        DarkshareError: something that cannot be trained, or a loss that is not a number any more; of several tasks,
            that of one is in `Outcomes.failed`.
    """
    options = Options(
        k=k, changes=Changes(epochs, batches, batch, subdivisions, lr, size, side), recipe=recipe, negatives=negatives,
        teacher=None if teacher is None else os.fspath(teacher),
        seed=seed, device=device, amp=amp, ema=ema, bn_eval=bn_eval, augment=augment, workers=workers, threads=threads,
        validate_every=validate_every, patience=patience, cache_features=cache_features, cache_anyway=cache_anyway,
        checkpoint_every=checkpoint_every, resume=resume,
    )  # fmt: skip
    require_torch()
    require_least(0, open_end=True, minutes=minutes)
    watch = watch or TrainingWatch()
    if not isinstance(data, list | Mapping):
        return _training(base, data, Path(output), options, split, watch, _inputs(base, data), minutes).run()
    return run_side_by_side(dict(_one_by_one(base, named(data, output), options, split, watch, minutes)))


def _one_by_one(
    base: Model, tasks: Mapping[str, tuple[Path, Any]], options: Options, split: float | None, watch: TrainingWatch,
    minutes: float | None,
) -> Iterator[tuple[str, Training]]:  # fmt: skip
    """The trainings of several tasks, which share the network of the first, and the time."""
    inputs, first = _inputs(base, *(one for _, one in tasks.values())), None
    for task, (stem, one) in tasks.items():
        each = minutes and minutes / len(tasks)
        made = _training(base, one, stem, options, split, watch.of(task), inputs, each, beside=first)
        first = first or made
        yield task, made


def _inputs(base: Model, *data: Data) -> list[str]:
    files = [os.fspath(one) for one in data if isinstance(one, str | os.PathLike)]
    return [base.name, base.weights.path if base.weights else "", *files]


def _training(
    base: Model, data: Data, output: Path, options: Options, split: float | None, watch: TrainingWatch,
    inputs: Sequence[str], minutes: float | None, beside: Training | None = None,
) -> Training:  # fmt: skip
    """A training that is about to begin."""
    judged, lists = options.validate_every != 0, dict[str, str]()
    if isinstance(data, str | os.PathLike):
        path = os.fspath(data)
        lists = _lists(path, stem_of(output))
        parts = _read(path, split, options.seed, watch, classifies=base.classifies(base.tasks[0]))
        shown = parts if judged else Divided(parts.learn)
        _say_what_is_wrong(shown, path, watch, negatives=bool(options.negatives))
    else:
        parts = Divided(*data) if isinstance(data, tuple) else Divided(data)
    judge, test = (_judge_on(parts.valid), _measure_on(parts.test) if parts.test else None) if judged else (None, None)
    if minutes is not None:
        options = within(minutes, base, parts.learn, output, options, judge, watch)
    return Training(
        base, parts.learn, output, options, judge=judge, watch=watch, protect=inputs, lists=lists, test=test,
        beside=beside,
    )  # fmt: skip


class Divided(NamedTuple):
    """The pictures to learn from, to validate on, and to test on, where there are any."""

    learn: AnyDataset
    valid: AnyDataset | None = None
    test: AnyDataset | None = None


def _read(data: str, split: float | None, seed: int, watch: TrainingWatch, *, classifies: bool) -> Divided:
    if split is not None and is_divided(data):
        warn(f"{data} has parts of its own, so --split is not used")
    if not classifies or not is_folder(data):
        read: Callable[[str, str], AnyDataset] = read_classes if classifies else read_data
        return Divided(read(data, "train"), *(_if_named(read, data, part) for part in _PARTS[1:]))
    parts = read_class_folders(data)
    share = _SHARE if split is None else split
    if "all" not in parts:
        return Divided(read_classes(data), parts.get("valid"), parts.get("test"))
    if not share:
        return Divided(parts["all"])
    learn, valid = split_off(parts["all"], share, seed)
    watch.say(f"{len(valid.samples)} of {len(parts['all'].samples)} pictures are set aside for validation")
    return Divided(learn, valid)


def _if_named(read: Callable[[str, str], AnyDataset], data: str, part: str) -> AnyDataset | None:
    """A part of a .data file if it has one; without a test, training goes on."""
    if part not in read_options(data).parts:
        return None
    try:
        return read(data, part)
    except DarkshareError as error:
        if part != "test":
            raise
        warn(f"{error}; so the best network is not tested")
        return None


def _lists(data: str, stem: Path) -> dict[str, str]:
    """The keys of a .data file that the one of a network trained on it keeps: its lists, from where that one lies."""
    if is_folder(data):
        return {}
    given, kept = read_options(data), dict[str, str]()
    for key in _KEPT:
        if key in given.options and (found := _found(given, key)):
            away = found.is_absolute() and Path(given.options[key].value).is_absolute()
            kept[key] = str(found if away else os.path.relpath(found, stem.parent))
    return {**kept, **({"labels": f"{stem.name}.names"} if given.classifies else {})}


def _found(data: DataFile, key: str) -> Path | None:
    try:
        return named_file(data, key)[0]
    except DarkshareError:
        return None  # a list that this training does not need may be missing


def _say_what_is_wrong(parts: Divided, data: str, watch: TrainingWatch, *, negatives: bool) -> None:
    """Warn of pictures that are learned from and measured on, and of what the data set lacks."""
    there = {name: part for name, part in zip(_PARTS, parts, strict=True) if part}
    for apart in counted(twins_in(there), there) if len(there) > 1 else ():
        what = f"{data}: {apart}; measured on them, results are too good"
        boxed = {name: part for name, part in there.items() if isinstance(part, Dataset)}
        if len(boxed) == len(there):
            what += f"; {next_command('import-data', data, '-o', 'NEW', *cure(boxed))}"
        warn(what)
    warn_of(joined(part.findings for part in there.values()))
    for line in lack_of_negatives(parts.learn) if isinstance(parts.learn, Dataset) and not negatives else ():
        watch.say(line)


def _judge_on(valid: AnyDataset | None) -> Judge | None:
    """The measure of a model on these pictures."""
    if valid is None:
        warn("no pictures to validate on, so nothing is measured and no best weights are kept")
        return None
    return _measure_on(valid)


def _measure_on(pictures: AnyDataset) -> Judge:
    require_pictures(pictures)
    if isinstance(pictures, ClassifiedDataset):
        return partial(classifier_accuracy, dataset=pictures)
    return partial(evaluate_model, dataset=pictures)
