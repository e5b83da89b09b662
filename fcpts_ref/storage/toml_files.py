"""Configuration files in TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from fcpts_ref.errors import InputError, shown
from fcpts_ref.storage.files import check_regular_file, describe_failure

MAX_BYTES = 1 << 20


def read_toml(path: Path | str) -> dict[str, Any]:
    """Read a TOML file, with a byte-order mark or without.

    Raises InputError, one line, for a file that is absent, no regular file, over 1 MiB or not TOML.
    """
    check_regular_file(path)
    try:
        if Path(path).stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is over {MAX_BYTES >> 20} MiB; expected a configuration file")
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # of TOML, or not UTF-8
        raise InputError(f"{path} is not TOML ({str(error)[:200]}); correct it") from error


def read_rates(path: Path | str) -> dict[str, float]:
    """Read rates by layer, or by pattern of layers, from a TOML file: "layer1.*" = 0.8.

    Raises InputError as ``read_toml`` does, and for values that are not numbers.
    """
    data = read_toml(path)
    if not data:
        raise InputError(f'{path} holds no rates; expected lines such as "layer1.*" = 0.8')
    for name, rate in data.items():
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            raise InputError(
                f"{path}: the rate of {shown(name)} is {shown(rate)}; expected a number, and the "
                'name in quotes: "conv1" = 0.5'
            )
    return {name: float(rate) for name, rate in data.items()}
