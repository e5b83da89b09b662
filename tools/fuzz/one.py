"""Fuzz one target: ``python -m tools.fuzz.one TARGET FOLDER SECONDS``, called by __main__.

The process ends with an error when an input raises anything but InputError, or takes over 10
seconds of the processor or 1 GiB; libFuzzer then writes the input to FOLDER.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fcpts_ref", "pickletools", "tomllib", "json"]):
    from fcpts_ref.errors import InputError
    from tools.fuzz.seeds import corpus, seeds
    from tools.fuzz.targets import TARGETS

SECONDS_EACH, MEBIBYTES, MAX_LENGTH = 10, 1024, 1 << 16
HANGS = 300
"""Seconds by the clock after which an input hangs; a busy machine may stop the process for long."""


def main() -> None:
    """Run libFuzzer, which ends the process."""
    name, folder, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    inputs = folder / "corpus"
    inputs.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate((*seeds()[name], *corpus(name))):
        (inputs / f"seed-{number}").write_bytes(seed)
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    warnings.simplefilter("ignore")

    def once(content: bytes) -> None:
        begun = time.process_time()
        with contextlib.suppress(InputError):
            TARGETS[name](content, place)
        if time.process_time() - begun > SECONDS_EACH:
            raise TimeoutError(f"over {SECONDS_EACH} s of the processor")

    options = {
        "max_total_time": seconds,
        "timeout": HANGS,
        "rss_limit_mb": MEBIBYTES,
        "max_len": MAX_LENGTH,
        "print_final_stats": 1,
        "seed": 1,
    }
    words = [f"-{key}={value}" for key, value in options.items()]
    atheris.Setup([sys.argv[0], *words, f"-artifact_prefix={folder}/", str(inputs)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
