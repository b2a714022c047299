"""Darknet's optimiser and learning-rate schedule (get_current_rate, update_convolutional_layer, adam_update_gpu)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import unwrap
from typing import TYPE_CHECKING

from darkshare.darknet.kinds import Net
from darkshare.darknet.kinds.base import P
from darkshare.errors import BadValue, Unsupported
from darkshare.training.building import TorchNet

if TYPE_CHECKING:
    from torch.optim import Optimizer

_UNTRAINED = {  # keys of [net] that change training in ways that are not done here
    "time_steps": 1,
    "track": 0,
    "contrastive": 0,
    "unsupervised": 0,
    "attention": 0,
    "adversarial_lr": 0.0,
    "clip": 0.0,
    "weights_reject_freq": 0,
    "equidistant_point": 0,
    "badlabels_rejection_percentage": 0.0,
    "num_sigmas_reject_badlabels": 0.0,
    "seq_scales": (),
}


@dataclass(frozen=True)
class Schedule:
    """The learning rate by the number of the batch.

    Attributes:
        options: the [net] section.
    """

    options: Net

    @classmethod
    def of(cls, options: Net) -> Schedule:
        """The schedule of a [net] section.

        Raises:
            BadValue: a policy that Darknet does not know, or steps= without as many scales=.
            Unsupported: a key that changes training in a way that is not done here.
        """
        if options.policy not in POLICIES:
            raise BadValue(f"policy={options.policy}: use one of {', '.join(POLICIES)}; Darknet would take constant")
        if options.policy == "steps" and (not options.steps or len(options.scales) < len(options.steps)):
            raise BadValue("policy=steps needs steps= and as many scales=")
        if options.policy == "poly" and options.max_batches < 1:
            raise BadValue("policy=poly needs max_batches=")
        for key, default in _UNTRAINED.items():
            if getattr(options, key) != default:
                raise Unsupported(f"[net] {key}= changes training in a way that is not done here; remove it")
        return cls(options)

    def rate(self, number: int) -> float:
        """The learning rate of a batch. Darknet counts a batch before it updates, so the first has the number 1."""
        options = self.options
        if number < options.burn_in:
            return options.learning_rate * math.pow(number / options.burn_in, options.power)
        return POLICIES[options.policy](options, number)


def _steps(options: Net, number: int) -> float:
    rate = options.learning_rate
    for step, scale in zip(options.steps, options.scales, strict=False):
        if step > number:
            break
        rate *= scale
    return rate


def _random(options: Net, number: int) -> float:
    """Darknet draws anew each time; here the number is the seed, so that a resumed training goes on alike."""
    return options.learning_rate * math.pow(random.Random(number).random(), options.power)  # noqa: S311


def _sgdr(options: Net, number: int) -> float:
    """Cosine from learning_rate to learning_rate_min, in cycles that grow (AlexeyAB)."""
    start, cycle = 0, options.sgdr_cycle or options.max_batches
    if cycle < 1 or options.sgdr_mult < 1:
        raise BadValue("policy=sgdr needs sgdr_cycle= or max_batches=, and sgdr_mult= of at least 1")
    while start + cycle < number:
        start += cycle
        cycle *= options.sgdr_mult
    lowest = options.learning_rate_min
    return lowest + 0.5 * (options.learning_rate - lowest) * (1 + math.cos((number - start) * math.pi / cycle))


POLICIES: dict[str, Callable[[Net, int], float]] = {
    "constant": lambda options, number: options.learning_rate,
    "step": lambda options, number: options.learning_rate * options.scale ** (number // options.step),
    "steps": _steps,
    "exp": lambda options, number: options.learning_rate * options.gamma**number,
    "poly": lambda options, number: options.learning_rate * max(0.0, 1 - number / options.max_batches) ** options.power,
    "random": _random,
    "sigmoid": lambda options, number: (
        options.learning_rate / (1 + math.exp(min(options.gamma * (number - options.step), 700.0)))
    ),
    "sgdr": _sgdr,
}


def batch_size(options: Net) -> int:
    """Pictures per update: batch= rounded down to whole subdivisions.

    Raises:
        BadValue: subdivisions= that leave no picture for a mini-batch.
    """
    if options.subdivisions < 1 or options.batch < options.subdivisions:
        raise BadValue(f"batch={options.batch} and subdivisions={options.subdivisions}: no picture for a mini-batch")
    return options.batch // options.subdivisions * options.subdivisions


def optimiser(net: TorchNet, options: Net, dialect: str = "alexeyab") -> Optimizer:
    """Darknet's optimiser for a network: SGD with momentum and decay, or Adam with adam=1.

    It takes gradients of the loss divided by the pictures of the whole batch, and its rates come from `set_rate`.
    Darknet keeps the sum of a batch's gradients in its momentum and divides by the batch in each step, which is the
    same. With Adam it does not divide, which only matters against eps=; and Adam decays biases and scales too.

    Args:
        net: what trains.
        options: the [net] section.
        dialect: whose default of eps= holds.
    """
    import torch

    _mark_uncompiled()
    rate = Schedule.of(options).rate(1)
    groups = net.parameters_of()
    if not options.adam:
        rows = [
            {"params": g["params"], "rate": g["rate"], "weight_decay": options.decay if g["decayed"] else 0.0}
            for g in groups
        ]
        return _plain(torch.optim.SGD(rows, lr=rate, momentum=options.momentum))
    given = "eps" in vars(options)
    eps = options.eps if given or dialect != P else 1e-7
    rows = [{"params": g["params"], "rate": g["rate"]} for g in groups]
    betas = options.B1, options.B2
    eps /= batch_size(options)
    return _plain(torch.optim.Adam(rows, lr=rate, betas=betas, eps=eps, weight_decay=options.decay))


def _mark_uncompiled() -> None:
    """Keep optimisers from importing torch's compiler, which is not used here: a second or more at each start.

    They import it to mark these methods as not to be compiled. The mark is set here; where a version of torch looks
    for it elsewhere, it imports the compiler as before.
    """
    from torch.optim import Optimizer

    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        if method := getattr(getattr(Optimizer, name), "__wrapped__", None):
            method.__dynamo_disable = method


def _plain(made: Optimizer) -> Optimizer:
    """The same optimiser, whose `step` does without the wrappers for the compiler and for profiling."""
    import torch

    made.step = torch.no_grad()(partial(unwrap(type(made).step), made))  # type: ignore[method-assign]
    return made


def set_rate(made: Optimizer, rate: float) -> None:
    """Set the learning rate of the next update; layers with a learning_rate= of their own take it times that."""
    for group in made.param_groups:
        group["lr"] = rate * group["rate"]
