"""Time and peak memory of writing an ONNX file, in a process of its own.

python benchmarks/onnx_memory.py model.cfg model.weights
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from darkshare.darknet.model import load
from darkshare.inference.onnx import write_onnx

MIB = 2**20


def peak() -> float:
    """Peak resident memory so far, in MiB (Linux counts in KiB, macOS in bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 1024)


def main() -> None:
    import onnx  # noqa: F401  its import is not part of the conversion

    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        start = time.perf_counter()
        write_onnx(load(sys.argv[1], *sys.argv[2:3]), path)
        seconds = time.perf_counter() - start
        size = path.stat().st_size / MIB
    weights = Path(sys.argv[2]).stat().st_size / MIB if len(sys.argv) > 2 else size
    print(f"weights {weights:.1f} MiB, file {size:.1f} MiB, {seconds:.2f} s")
    print(
        f"peak {peak():.0f} MiB, of which {before:.0f} MiB are Python, numpy and onnx; {peak() / weights:.2f} x weights"
    )


if __name__ == "__main__":
    main()
