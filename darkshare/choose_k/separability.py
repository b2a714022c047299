"""Separability of labelled objects by features, without any training: LogME, H-score, representational similarity.

LogME (You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021) is the
evidence of a Bayesian linear model. H-score (Bao et al., "An Information-Theoretic Approach to Transferability in Task
Transfer Learning", ICIP 2019) is how much of the features' variance lies between classes; its covariance is shrunk, as
Ibrahim et al. do ("Newer is not always better", ECML PKDD 2022). Similarity to the labels (Dwivedi and Roig,
"Representation Similarity Analysis for Efficient Task Taxonomy & Transfer Learning", CVPR 2019) asks whether objects of
one class look alike to a layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ids = NDArray[np.int64]
FOLDS = 5
_ROUNDS, _CLOSE, _TINY = 50, 1e-4, 1e-12


def logme(features: Doubles, classes: Ids) -> float:
    """The log evidence per object that a linear model of the features gives the classes, the mean over classes.

    Features and targets are centred, so that neither needs a constant; that takes one of n dimensions away.

    Args:
        features: (objects, channels).
        classes: of each object.
    """
    values = features - features.mean(axis=0)
    left, singular, _ = np.linalg.svd(values, full_matrices=False)
    kept = singular > _TINY * max(float(singular.max(initial=0.0)), 1.0)
    basis, powers = left[:, kept], singular[kept] ** 2
    own = [np.asarray(classes == one, np.float64) for one in np.unique(classes)]
    return float(np.mean([_evidence(basis, powers, y - y.mean(), features.shape) for y in own]))


def _evidence(basis: Doubles, powers: Doubles, y: Doubles, shape: tuple[int, ...]) -> float:
    """Maximum log evidence over the precisions of weights and noise, by the fixed point of its derivatives."""
    n, d = shape[0] - 1, shape[1]
    inside = (basis.T @ y) ** 2
    outside = max(float(y @ y - inside.sum()), 0.0)
    alpha = beta = 1.0
    for _ in range(_ROUNDS):
        ratio = alpha / beta
        used = float((powers / (powers + ratio)).sum())
        size = float((powers * inside / (powers + ratio) ** 2).sum())
        error = float((inside / (1 + powers / ratio) ** 2).sum()) + outside
        alpha, beta = max(used, _TINY) / (size + _TINY), max(n - used, _TINY) / (error + _TINY)
        if abs(alpha / beta - ratio) <= _CLOSE * ratio:
            break
    rank = len(powers)
    spread = float(np.log(alpha + beta * powers).sum()) + (d - rank) * math.log(alpha)
    total = d * math.log(alpha) + n * math.log(beta) - spread - beta * error - alpha * size - n * math.log(2 * math.pi)
    return total / (2 * n)


def h_score(features: Doubles, classes: Ids) -> float:
    """The H-score of the features for the classes, with the covariance that Ledoit and Wolf (2004) shrink.

    Args:
        features: (objects, channels).
        classes: of each object.
    """
    values = features - features.mean(axis=0)
    n, d = values.shape
    covariance = values.T @ values / n
    level = float(np.trace(covariance)) / d
    distance = float(((covariance - level * np.eye(d)) ** 2).sum())
    spread = float(((values**2).sum(axis=1) ** 2).mean() - (covariance**2).sum()) / n
    share = min(max(spread, 0.0) / distance, 1.0) if distance > _TINY * level**2 else 0.0
    _, own, counts = np.unique(classes, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), d))
    np.add.at(means, own, values)
    means /= counts[:, None]
    between = means.T @ (means * (counts / n)[:, None])
    shrunk = (1 - share) * covariance + (share * level + _TINY) * np.eye(d)
    return (1 - share) * float(np.trace(np.linalg.solve(shrunk, between)))


def label_similarity(features: Doubles, classes: Ids) -> float:
    """Spearman's correlation, over pairs of objects, of being alike to the layer and being of one class.

    Alike is the correlation of two objects' features over the channels.
    """
    values = features - features.mean(axis=1, keepdims=True)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _TINY)
    upper = np.triu_indices(len(values), 1)
    alike, same = (values @ values.T)[upper], (classes[:, None] == classes[None, :])[upper]
    ranks = _ranks(alike)
    if ranks.std() == 0 or same.std() == 0:
        return 0.0
    return float(np.corrcoef(ranks, same)[0, 1])


def _ranks(values: Doubles) -> Doubles:
    """Ranks, equal values sharing theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shared: Doubles = (ends - (counts - 1) / 2)[inverse]
    return shared


def jackknifed(
    score: Callable[[Doubles, Ids], float], features: Sequence[Doubles], classes: Ids, pictures: Ids
) -> Doubles:
    """The score of each layer's features without one fifth of the pictures, (folds, layers).

    Args:
        score: such as `logme`.
        features: of each layer, (objects, channels).
        classes: of the objects.
        pictures: that each object is in; those of one are left out together.
    """
    rows = []
    for fold in range(FOLDS):
        kept = pictures % FOLDS != fold
        rows.append([score(own[kept], classes[kept]) for own in features])
    return np.array(rows)


def standard_error(values: Doubles) -> float:
    """The standard error of a number from its values without each fold (the delete-a-group jackknife)."""
    count = len(values)
    return float(np.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum()))
