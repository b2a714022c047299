"""The parts of a training: the source of its pictures, and the network with its optimiser."""

from __future__ import annotations

from typing import NamedTuple

from darkshare.darknet.model import Model
from darkshare.data import ClassifiedDataset, Dataset, in_order
from darkshare.data.forks import crowded
from darkshare.data.negatives import with_negatives
from darkshare.errors import warn
from darkshare.training.building import TorchNet, build
from darkshare.training.devices import DeviceSettings, is_gpu
from darkshare.training.guards import device_of, memory_of, require_pictures
from darkshare.training.pictures import cropping, loading
from darkshare.training.pictures.augmenting import Augmentation
from darkshare.training.pictures.cropping import Crops
from darkshare.training.pictures.loading import Source
from darkshare.training.preparation import prepared
from darkshare.training.recipes import TrainingRecipe
from darkshare.training.settings import Options, TrainingWatch
from darkshare.training.stepping import Trainer
from darkshare.training.teaching import read_teacher


class Assembly(NamedTuple):
    """The parts of a training.

    Attributes:
        source: of the pictures.
        trainer: of the network.
        truths: of a picture: how many at most, and the columns of each.
    """

    source: Source
    trainer: Trainer
    truths: tuple[int, int]


def assembled(
    base: Model, data: Dataset | ClassifiedDataset, options: Options, recipe: TrainingRecipe, name: str,
    watch: TrainingWatch, beside: TorchNet | None = None,
) -> Assembly:  # fmt: skip
    """Put a training together.

    Args:
        base: see `preparation.prepared`, as for the recipe and the name.
        data: the pictures to learn from.
        options: of the training.
        recipe: of the training.
        name: of the new task.
        watch: is told what was changed.
        beside: a network from the same base, with which this one shares the layers that stay.

    Raises:
        DarkshareError: something that cannot be trained.
    """
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    if options.negatives:
        data, said = with_negatives(data, options.negatives, options.seed)
        watch.say(said)
    require_pictures(data)
    device = device_of(options.device)
    model, notes = prepared(
        base, data, options.k, options.changes, recipe, seed=options.seed, name=name, memory=memory_of(device)
    )
    for note in notes:
        watch.say(note)
    source, truths = _source(in_order(data, model.tasks[0].names), model, options, packed=is_gpu(device))
    norm = "rolling" if options.bn_eval else "batch"
    net = build(model, options.k, bn_epsilon=options.bn_epsilon, norm=norm, statistics=recipe.statistics)
    if beside:
        net.share_trunk(beside)
    how = DeviceSettings.of(device, fast=recipe.fast, fixed=not (options.augment and loading.spread_of(model.network)))
    if how.said:
        watch.say(how.said)
    ema = (model.network.net.ema_alpha or recipe.ema) if options.ema is None else options.ema
    net.to(device, channels_last=how.channels_last)
    teacher = None if options.teacher is None else read_teacher(options.teacher, net).to(device)
    if teacher and set(base.tasks[0].names) != set(model.tasks[0].names):  # else the base's branch knows this task
        teacher.give_start(net)
        watch.say(f"the layers from {options.k} on begin as those of the teacher")
    trainer = Trainer(net, how, seed=options.seed, amp=options.amp, ema=ema, clip=recipe.clip, teacher=teacher)
    return Assembly(source, trainer, truths)


def _source(
    data: Dataset | ClassifiedDataset, model: Model, options: Options, *, packed: bool
) -> tuple[Source, tuple[int, int]]:
    network = model.network
    given = Crops.of(network) if isinstance(data, ClassifiedDataset) else Augmentation.of(network)
    how = given if options.augment else None
    truths = (cropping.MOST, 2) if isinstance(given, Crops) else (given.most, 5)
    if isinstance(data, Dataset) and (what := crowded(data.samples, truths[0])):
        warn(what)
    if how:
        loading.require_sizes(network)
    return Source(data.samples, network, how, options.seed, packed=packed), truths
