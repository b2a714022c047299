"""The common ground of all layers: the signature of their forward functions, and settings of the whole network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from darkshare.errors import BadValue

if TYPE_CHECKING:
    from torch import Tensor

Given = dict[str, "Tensor"]  # the blocks of a layer, by the names that its kind gives them
Forward = Callable[[Given, "Tensor", Sequence["Tensor"], bool], "Tensor"]  # blocks, input, sources, training
MOMENTUM = 0.01  # the share of a batch in the rolling statistics, in both forks on GPUs
NORMS = ("batch", "pjreddie", "alexeyab", "rolling")


class BuildSettings(NamedTuple):
    """Settings of the whole network that layers need when they are built.

    Attributes:
        bn_epsilon: what is added to a variance before its root is taken.
        norm: what batch norm does while training. `batch`: the statistics of the pictures that go through together,
            as cuDNN has it in every fork; `pjreddie` and `alexeyab`: as the CPU code of these has it; `rolling`: the
            rolling statistics, unchanged, for very small batches.
        statistics: the share of a batch in the rolling statistics, with `batch`.
        dropout: whether training leaves values out where the cfg says so.
    """

    bn_epsilon: float = 1e-5
    norm: str = "batch"
    statistics: float = MOMENTUM
    dropout: bool = True

    def checked(self) -> BuildSettings:
        """Itself.

        Raises:
            BadValue: a form of batch norm that does not exist, or an epsilon that is not above 0.
        """
        if self.norm not in NORMS:
            raise BadValue(f"there is no batch norm {self.norm}; use one of {', '.join(NORMS)}")
        if not self.bn_epsilon > 0:
            raise BadValue(f"the batch norm epsilon must be above 0, not {self.bn_epsilon}; Darknet uses 0.00001")
        return self
