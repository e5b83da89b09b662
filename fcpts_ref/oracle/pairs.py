"""Gradient checks of the pairs in a user's module."""

from __future__ import annotations

from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import Finding, Pair, check_gradients
from fcpts_ref.oracle.adapters import describe, import_module
from fcpts_ref.oracle.contained import contained


def check_pairs(name: str, seed: int, directions: int) -> list[Finding]:
    """Check every (pair, inputs) of the list PAIRS in a module or .py file, by adjoint products.

    Raises InputError if the module cannot be imported or has no such list.
    """
    try:
        with contained():
            module = import_module(name)
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too
        raise InputError(f"cannot import {name!r} ({describe(error)})") from error
    pairs = getattr(module, "PAIRS", None)
    if not isinstance(pairs, list) or not pairs:
        raise InputError(f"{name} has no list PAIRS of (pair, inputs); expected at least one")
    findings: list[Finding] = []
    for entry in pairs:
        if not isinstance(entry, tuple) or len(entry) != 2 or not isinstance(entry[0], Pair):
            raise InputError(
                f"PAIRS holds a {type(entry).__name__}; expected tuples (pair, inputs)"
            )
        pair, inputs = entry
        with contained():  # neither ends the check nor writes into its report
            findings += check_gradients(pair, inputs, seed=seed, directions=directions)
    return findings
