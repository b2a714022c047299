"""Batch norm in Darknet's forms. All keep rolling statistics, of which a new batch of Darknet's is one hundredth.

cuDNN, which both forks use where they can, is what `torch.nn.functional.batch_norm` does: eps 1e-5 inside the root,
the biased variance for the values and the unbiased one for the rolling statistics. The CPU code of both forks takes
the unbiased variance for both, and differentiates as if it were the biased one (blas.c, batchnorm_layer.c).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from darkshare.errors import Unsupported
from darkshare.training.layers.form import MOMENTUM, BuildSettings, Given

if TYPE_CHECKING:
    from torch import Tensor

_ALEXEYAB_CPU_MOMENTUM = 0.1  # its GPU code has 0.01
_INSIDE = 1e-5


def normalised(given: Given, x: Tensor, training: bool, form: BuildSettings) -> Tensor:
    """`x` (pictures, channels, ...) normalised by channel, scaled and moved; training moves the rolling statistics."""
    from torch.nn import functional

    bias = given.get("biases")
    if not training or form.norm == "rolling":
        variance = given["rolling_variance"].clamp(min=0)  # some published ones are a little below 0
        return functional.batch_norm(
            x, given["rolling_mean"], variance, given["scales"], bias, training=False, eps=form.bn_epsilon
        )
    if x.numel() == x.shape[1]:
        raise Unsupported("batch norm over a single value; give it more pictures at a time, or use rolling statistics")
    if form.norm != "batch":
        return _as_cpu(given, x, form.norm)
    return functional.batch_norm(
        x,
        given["rolling_mean"],
        given["rolling_variance"],
        given["scales"],
        bias,
        training=True,
        momentum=form.statistics,
        eps=form.bn_epsilon,
    )


def _as_cpu(given: Given, x: Tensor, fork: str) -> Tensor:
    """The value as Darknet's CPU code computes it, and a gradient that is its hand-written one."""
    dims = [d for d in range(x.dim()) if d != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    mean, variance = x.mean(dims), x.var(dims)
    _roll(given, mean.detach(), variance.detach(), _ALEXEYAB_CPU_MOMENTUM if fork == "alexeyab" else MOMENTUM)
    values, slopes = _CPU[fork](variance.detach())
    root = (variance.detach() + _INSIDE) ** -0.5
    centred = x.detach() - mean.detach().view(shape)
    spread = centred**2 if not x.requires_grad else (x - mean.detach().view(shape)) ** 2
    biased = spread.mean(dims)
    known = variance.detach() + biased - biased.detach()  # the unbiased value with the biased one's gradient
    path = x * slopes.view(shape) - (mean * root).view(shape) + centred * ((known + _INSIDE) ** -0.5).view(shape)
    y = (centred * values.view(shape)) + path - path.detach()
    y = y * given["scales"].view(shape)
    return y + given["biases"].view(shape) if "biases" in given else y


def _roll(given: Given, mean: Tensor, variance: Tensor, share: float) -> None:
    given["rolling_mean"].mul_(1 - share).add_(mean, alpha=share)
    given["rolling_variance"].mul_(1 - share).add_(variance, alpha=share)


def _pjreddie(variance: Tensor) -> tuple[Tensor, Tensor]:
    """The factors of values and of slopes."""
    return 1 / (variance.sqrt() + 1e-6), (variance + _INSIDE) ** -0.5


def _alexeyab(variance: Tensor) -> tuple[Tensor, Tensor]:
    return (variance + _INSIDE) ** -0.5, 1 / (variance.sqrt() + _INSIDE)


_CPU: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {"pjreddie": _pjreddie, "alexeyab": _alexeyab}
