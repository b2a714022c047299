"""Set the batches of a training: the [net] of a base is that of a test, or of a training on another data set."""

from __future__ import annotations

from dataclasses import replace

from darkshare.darknet.cfg import Cfg, Section
from darkshare.darknet.kinds import Net, read_kind

BATCH, SUBDIVISIONS = 64, 16
LEAST, PER_CLASS = 6000, 2000  # AlexeyAB's advice: 2000 batches per class, 6000 or the number of pictures at least
STEPS = (0.8, 0.9)  # of all batches, at which the rate falls to a tenth


def scheduled(cfg: Cfg, dialect: str, *, classes: int, pictures: int, batches: int | None = None) -> tuple[Cfg, int]:
    """Write a batch to train with, `max_batches` and `steps` into a cfg.

    Args:
        cfg: the network's.
        dialect: whose reading decides.
        classes: how many there are.
        pictures: to train with.
        batches: how many to train; by AlexeyAB's advice without it.

    Returns:
        The cfg, and how many batches it trains.
    """
    first, *rest = cfg.sections
    count = batches or max(LEAST, PER_CLASS * classes, pictures)
    net = first.set(max_batches=count, **_batch(first, dialect))
    if first.get("policy") == "steps":
        steps = ",".join(str(max(1, int(part * count))) for part in STEPS)
        net = net.set(steps=steps, scales=",".join([".1"] * len(STEPS)))
    if read_kind(Net, first, dialect).burn_in > count // 2:  # a trial run would end before its rate has risen
        net = net.set(burn_in=count // 10)
    return replace(cfg, sections=(net, *rest)), count


def _batch(net: Section, dialect: str) -> dict[str, int]:
    """AlexeyAB refuses to train with batch=1, with which networks are tested."""
    return {"batch": BATCH, "subdivisions": SUBDIVISIONS} if read_kind(Net, net, dialect).batch == 1 else {}
