"""Recipes: the course of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from darkshare.darknet.kinds import Net
from darkshare.training.layers.form import MOMENTUM

_LEAST = 10  # updates in which the rate rises, where there are as many
_USUAL = 16  # pictures of an update, for which a recipe's rate is meant


@dataclass(frozen=True)
class TrainingRecipe:
    """A recipe: what is added to the losses, augmentations and decay, which are always Darknet's.

    Attributes:
        clip: the norm to which the gradient of all weights is cut.
        ema: the share of the old mean of the weights that each update keeps, where the cfg has no ema_alpha.
        statistics: the share of a batch in the rolling statistics of batch norm.
        retries: how often a training that diverged goes on from its last good state, at half the rate.
        patience: validations without a better one after which it ends; 0 for all of them.
        batch: pictures of an update, where nobody says; None for the cfg's.
        epochs: how often each picture is seen at most, where nobody says; None for the cfg's max_batches.
        rate: of an update of 16 pictures; None for the cfg's.
        rise: the part of the updates in which the rate rises, in a straight line; None for the cfg's schedule, which
            shrinks with the training.
        end: the part of that rate at which a cosine ends.
        margin: the rate of a training, in those at which the loss of a range test falls fastest.
        fast: whether a GPU may round otherwise than a CPU; see `devices.DeviceSettings`.
    """

    clip: float = math.inf
    ema: float = 0.0
    statistics: float = MOMENTUM
    retries: int = 0
    patience: int = 0
    batch: int | None = None
    epochs: float | None = None
    rate: float | None = None
    rise: float | None = None
    end: float = 0.0
    margin: float = 1.0
    fast: bool = False

    def rate_of(self, batch: int) -> float | None:
        """The rate of updates of so many pictures; None for the cfg's.

        Adam's steps have the size of the rate, whatever that of the gradient, so the number of boxes does not matter;
        the noise of a mean falls with the root of the pictures in it.
        """
        return self.rate and float(f"{self.rate * math.sqrt(batch / _USUAL):.3g}")

    def schedule(self, net: Net, batches: int) -> dict[str, object]:
        """The keys of [net] for a training of so many updates: `sgdr` with one cycle is a cosine."""
        assert self.rise is not None
        warm = min(max(round(self.rise * batches), _LEAST), batches // 2)
        highest, lowest = (float(f"{share * net.learning_rate:.6g}") for share in (1, self.end))
        return {
            "max_batches": batches, "learning_rate": highest, "burn_in": warm, "power": 1,
            "policy": "sgdr", "sgdr_cycle": batches, "learning_rate_min": lowest, "adam": 1,
        }  # fmt: skip


RECIPES = {
    "steady": TrainingRecipe(
        clip=10.0, ema=0.99, statistics=0.05, retries=3, patience=5, batch=16, epochs=100, rate=0.005, rise=0.1,
        end=0.01, margin=3.5, fast=True,
    ),
    "darknet": TrainingRecipe(),
}  # fmt: skip
