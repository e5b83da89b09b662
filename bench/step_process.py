"""The works of one checkout in a process of its own, for ``versus``.

    python bench/step_process.py BATCH THREADS DTYPE SEED

Prints the names of the works, then answers each line, a name, with the milliseconds of one pass.
Which checkout's ``bench`` and ``fcpts_ref`` it imports is decided by PYTHONPATH.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from bench.works import Setting, works


def serve(batch: int, threads: int, dtype: str, seed: int) -> None:
    """Answer until standard input ends."""
    setting = Setting(batch, threads, np.dtype(dtype).type, seed)
    ours: dict[str, Any] = {name: work()[0] for name, work in works(setting).items()}
    print("|".join(ours), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        ours[line.strip()]()
        print(1e3 * (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
