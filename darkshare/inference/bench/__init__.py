"""Measure on this machine: networks separately against merged, and one engine against another.

Whatever is compared runs in turns, so that what slows the machine for a while slows all alike, and each in a process
of its own. Ratios are medians of the ratios of single rounds. Times are those of the forward pass on noise; reading
pictures and decoding boxes is not in them.
"""

from darkshare.inference.bench.merging import Bench, Bout, bench, separate_and_merged
from darkshare.inference.bench.racing import Entry, choice, race
from darkshare.inference.bench.timing import FEWEST, ROUNDS, Measured, Ratio

__all__ = [
    "FEWEST",
    "ROUNDS",
    "Bench",
    "Bout",
    "Entry",
    "Measured",
    "Ratio",
    "bench",
    "choice",
    "race",
    "separate_and_merged",
]
