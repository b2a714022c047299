"""Trainings of several tasks on one base, side by side: the layers that stay are held once.

On a GPU, pictures of all of them go through these layers together. On a CPU each goes on with its own: there, what
a picture gives depends in its last digits on how many others are beside it, and a task is to end at the bytes that it
ends at alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from darkshare._files import is_folder
from darkshare.darknet.model import sibling, stem_of
from darkshare.data import ClassifiedDataset, Dataset
from darkshare.errors import BadValue, DarkshareError
from darkshare.training.devices import is_gpu
from darkshare.training.feeding import PictureFeed
from darkshare.training.files import BEST
from darkshare.training.outcome import Outcome, Outcomes
from darkshare.training.run import Ready, Training
from darkshare.training.stepping import MiniBatch


def named(data: Sequence[Any] | Mapping[str, Any], output: str | os.PathLike[str]) -> dict[str, tuple[Path, Any]]:
    """Give each of several data sets a name, and its network the stem of its files: `trained-cells`.

    Args:
        data: by name, or named like their file, folder or data set.
        output: the stem of all.

    Raises:
        BadValue: there is none, or two networks would have files of the same name.
    """
    given = dict(data) if isinstance(data, Mapping) else {}
    for one in () if isinstance(data, Mapping) else data:
        name = _name_of(one)
        if name in given:
            raise BadValue(f"two data sets are called {name}, as their networks would be; rename one of them")
        given[name] = one
    if not given:
        raise BadValue("there is no data set to train on")
    whole, taken = stem_of(output), dict[str, str]()
    for name in given:
        if not name or Path(name).name != name:
            raise BadValue(f"a task cannot be called {name!r}, which is to be a part of the names of its files")
        for file in (name, f"{name}{BEST}"):
            other = taken.setdefault(file.casefold(), name)
            if other != name:
                raise BadValue(f"{other} and {name} would have files of the same name; rename one of them")
    return {name: (sibling(whole, f"-{name}"), one) for name, one in given.items()}


def _name_of(data: Any) -> str:
    if isinstance(data, str | os.PathLike):
        path = Path(os.path.abspath(data))  # noqa: PTH100 - a link keeps its name, and `.` has one
        return path.name if is_folder(path) else path.stem
    first = data[0] if isinstance(data, tuple) and data else data
    if not isinstance(first, Dataset | ClassifiedDataset):
        raise BadValue(f"{first!r} is not a data set; give a file, a folder, or a Dataset")
    return first.name


def run_side_by_side(trainings: Mapping[str, Training]) -> Outcomes:
    """Run trainings in turns, an update of each; what ends one of them ends no other.

    Each leaves its files as soon as it is done. Its checkpoint stays until all are, so that all go on alike.

    Args:
        trainings: by task, from one base.
    """
    for one in trainings.values():
        one.resume()
    for one in trainings.values():
        one.begin()
    outcomes, failed = dict[str, Outcome](), dict[str, str]()
    try:
        _take_turns(trainings, outcomes, failed)
    except KeyboardInterrupt:
        for name, one in trainings.items():
            if name not in outcomes and name not in failed:
                _end(name, one, outcomes, failed)
    if not failed and not any(one.stopped for one in outcomes.values()):
        for one in trainings.values():
            one.files.drop_states(keep=False)
    return Outcomes({name: outcomes[name] for name in trainings if name in outcomes}, failed)


def _take_turns(trainings: Mapping[str, Training], outcomes: dict[str, Outcome], failed: dict[str, str]) -> None:
    with ExitStack() as stack:
        courses = {name: stack.enter_context(closing(one.course())) for name, one in trainings.items()}
        sent: dict[str, Iterator[MiniBatch] | None] = dict.fromkeys(courses)
        while sent:
            ready: dict[str, Ready] = {}
            for name, parts in sent.items():
                try:
                    ready[name] = courses[name].send(parts)
                except StopIteration:  # noqa: PERF203 - once per training
                    _end(name, trainings[name], outcomes, failed)
                except DarkshareError as error:
                    failed[name] = str(error)
            sent = together(ready)


def _end(name: str, training: Training, outcomes: dict[str, Outcome], failed: dict[str, str]) -> None:
    """Have a training write its files; say so if it was stopped."""
    try:
        if training.has_work_left:
            training.say_stopped()
        outcomes[name] = training.finish(keep=True)
    except DarkshareError as error:
        failed[name] = str(error)


def together(ready: Mapping[str, Ready]) -> dict[str, Iterator[MiniBatch] | None]:
    """The parts of each update, where their pictures go through the trunk together; None where an update has its own.

    Args:
        ready: the updates that are next, by task.
    """
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, (number, feed, examples) in ready.items():
        if isinstance(feed, PictureFeed) and _joins(feed):
            groups.setdefault((feed.size(number), feed.mini, len(examples)), []).append(name)
    sent: dict[str, Iterator[MiniBatch] | None] = dict.fromkeys(ready)
    for names in groups.values():
        if len(names) > 1:
            trunk = _TrunkPass([ready[name] for name in names])
            sent |= {name: trunk.parts(at) for at, name in enumerate(names)}
    return sent


def _joins(feed: PictureFeed) -> bool:
    return feed.trunk.net.k > 0 and is_gpu(feed.trunk.how.device)


class _TrunkPass:
    """The pictures of several updates of one size, which go through the trunk together, part by part."""

    def __init__(self, ready: Sequence[Ready]) -> None:
        feed = ready[0].feed
        assert isinstance(feed, PictureFeed)
        self._mini, self._feed = feed.mini, replace(feed, mini=feed.mini * len(ready))
        self._examples = [one.examples for one in ready]
        self._waiting: dict[tuple[int, int], MiniBatch] = {}  # by the place of its first picture, and by update

    def parts(self, at: int) -> Iterator[MiniBatch]:
        """The parts of an update; those of the others wait for theirs."""
        for start in range(0, len(self._examples[at]), self._mini):
            if (start, at) not in self._waiting:
                self._run(start)
            yield self._waiting.pop((start, at))

    def _run(self, start: int) -> None:
        groups = [examples[start : start + self._mini] for examples in self._examples]
        (whole,) = self._feed.parts([example for group in groups for example in group])
        begin = 0
        for at, group in enumerate(groups):
            end = begin + len(group)
            features = {index: values[begin:end] for index, values in whole.features.items()}
            images = None if whole.images is None else whole.images[begin:end]
            self._waiting[start, at] = MiniBatch(features, whole.truths[begin:end], images)
            begin = end
