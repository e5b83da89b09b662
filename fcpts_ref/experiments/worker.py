"""The process of one run: ``python -m fcpts_ref.experiments.worker``.

It reads one line of JSON (job, folder, threads) from standard input, runs the job, and writes only
the message of an error.  When standard input closes, the parent process has ended, and the worker
ends immediately; the run's folder keeps the last checkpoint.
"""

from __future__ import annotations

import json
import os
import sys
import threading

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run import run_or_resume


def main() -> int:
    """Run the job that standard input describes; exit codes are those of the command line."""
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_starter, daemon=True).start()
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            run_or_resume(Job.from_json(order["job"]), order["folder"], threads=order["threads"])
    except InputError as error:
        print(error)
        return 2
    except MemoryError:
        print("too little memory; run fewer cells at a time, or use a lower --calibration")
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    return 0


def _end_with_starter() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock would be held at the exit
        pass
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
