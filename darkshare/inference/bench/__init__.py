"""Measure on this machine: networks separately against merged, and one engine against another.

Whatever is compared runs in turns, so that what slows the machine for a while slows all alike, and each in a process
of its own. Ratios are medians of the ratios of single rounds. Times are those of the forward pass on noise; reading
pictures and decoding boxes is not in them.
"""

from darkshare.inference.bench.comparing import EngineComparison, compare_engines
from darkshare.inference.bench.listing import EngineList, engines
from darkshare.inference.bench.merging import Bench, bench, measure_merging, separate_and_merged

__all__ = [
    "Bench",
    "EngineComparison",
    "EngineList",
    "bench",
    "compare_engines",
    "engines",
    "measure_merging",
    "separate_and_merged",
]
