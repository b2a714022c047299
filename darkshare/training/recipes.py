"""Recipes: the course of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from darkshare.darknet.kinds import Net

_LEAST = 10  # updates in which the rate rises, where there are as many


@dataclass(frozen=True)
class TrainingRecipe:
    """A recipe: what is added to the losses, augmentations and decay, which are always Darknet's.

    Attributes:
        clip: the norm to which the gradient of all weights is cut.
        ema: the share of the old mean of the weights that each update keeps, where the cfg has no ema_alpha.
        retries: how often a training that diverged goes on from its last good state, at half the rate.
        patience: validations without a better one after which it ends; 0 for all of them.
        rise: the part of the updates in which the rate rises to the cfg's, in a straight line; None for the cfg's
            schedule, which shrinks with the training.
        end: the part of that rate at which a cosine ends.
    """

    clip: float = math.inf
    ema: float = 0.0
    retries: int = 0
    patience: int = 0
    rise: float | None = None
    end: float = 0.0

    def schedule(self, net: Net, batches: int) -> dict[str, object]:
        """The keys of [net] for a training of so many updates: `sgdr` with one cycle is a cosine."""
        assert self.rise is not None
        warm = min(max(round(self.rise * batches), _LEAST), batches // 2)
        lowest = f"{self.end * net.learning_rate:.6g}"
        return {
            "max_batches": batches, "burn_in": warm, "power": 1,
            "policy": "sgdr", "sgdr_cycle": batches, "learning_rate_min": lowest,
        }  # fmt: skip


RECIPES = {
    "darknet": TrainingRecipe(),
    "steady": TrainingRecipe(clip=10.0, ema=0.99, retries=3, patience=5, rise=0.1, end=0.01),
}
