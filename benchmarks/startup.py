"""What `darkshare info` costs as a whole process, and what reading a cfg costs in a fresh one.

    python benchmarks/startup.py [folder with yolov3.cfg and yolov4.cfg]

The first figure is a ratio to a Python that only imports click and numpy, which darkshare needs anyway. Both are
started in turn, so that a busy machine slows both; the medians are compared. The second figure is the first
parse+resolve of a process, before anything is cached.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
ZOO = Path(os.environ.get("DARKSHARE_ZOO", ROOT.parent / "shared")) / "zoo" / "alexeyab"
ROUNDS = 21
LARGEST_RATIO, LARGEST_MS = 2.5, 30
RESOLVE = """
import sys, time
from darkshare.darknet.cfg import read_cfg
from darkshare.darknet.network import resolve
start = time.perf_counter()
resolve(read_cfg(sys.argv[1]))
print((time.perf_counter() - start) * 1000)
"""


def run(*words: str) -> tuple[float, str]:
    """(seconds, output) of a Python process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, env=environment)
    return time.perf_counter() - start, done.stdout


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ZOO
    yolov3, yolov4 = (str(folder / name) for name in ("yolov3.cfg", "yolov4.cfg"))
    for warm_up in (("-c", "import click, numpy"), ("-m", "darkshare", "info", yolov3)):
        run(*warm_up)
    imports, info, resolving = [], [], []
    for _ in range(ROUNDS):
        imports.append(run("-c", "import click, numpy")[0])
        info.append(run("-m", "darkshare", "info", yolov3)[0])
        resolving.append(float(run("-c", RESOLVE, yolov4)[1]))
    ratio = median(info) / median(imports)
    print(f"python -c 'import click, numpy'   {median(imports) * 1000:6.1f} ms")
    print(f"darkshare info yolov3.cfg         {median(info) * 1000:6.1f} ms")
    print(f"ratio                             {ratio:6.2f}      (at most {LARGEST_RATIO})")
    print(f"parse and resolve yolov4.cfg      {median(resolving):6.1f} ms   (at most {LARGEST_MS})")
    sys.exit(ratio > LARGEST_RATIO or median(resolving) > LARGEST_MS)


if __name__ == "__main__":
    main()
