"""``python -m bench NAME [--json FILE] [--threads N] [--dtype D]``: run a benchmark.

Every module of this folder with a function ``run(arguments) -> results`` is a benchmark.  It
prints its table; ``--json`` writes the results with the machine, versions and seed.  ``document``
measures nothing: it makes the tables of docs/performance.md from such files.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
from pathlib import Path

import bench
from bench.measure import machine
from fcpts_ref.errors import InputError

HELPERS = {
    "__main__",
    "engine_process",
    "measure",
    "peak",
    "processes",
    "step_process",
    "torch_side",
    "works",
}


def main() -> None:
    names = sorted({module.name for module in pkgutil.iter_modules(bench.__path__)} - HELPERS)
    parser = argparse.ArgumentParser(prog="python -m bench", description="Run a benchmark.")
    parser.add_argument("name", choices=names)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=15, help="of which medians are shown")
    parser.add_argument("--network", default="resnet18", metavar="ARCH", help="an architecture")
    parser.add_argument("--only", default="", metavar="TEXT", help="works with this in their name")
    parser.add_argument("--best", action="store_true", help="show the least times instead")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="checkout to compare with")
    parser.add_argument(
        "--python", action="append", default=[], metavar="ENGINE=PATH",
        help="the Python that has an inference engine",
    )  # fmt: skip
    parser.add_argument("--starts", type=int, default=5, help="of both checkouts' processes")
    arguments = parser.parse_args()
    try:
        results = importlib.import_module(f"bench.{arguments.name}").run(arguments)
    except InputError as error:
        parser.error(str(error))
    if arguments.json:
        settings = {
            key: value
            for key, value in vars(arguments).items()
            if key not in ("json", "against", "python")
        }
        document = {"settings": settings, "machine": machine(), "results": results}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
