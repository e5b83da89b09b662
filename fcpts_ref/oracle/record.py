"""Record a trace from one's own program: ``with record("mine.h5") as see: see("rates", rates)``.

Arrays of any library are taken that offer ``__array__`` or DLPack, such as NumPy, JAX and PyTorch;
none of these is imported.  Tensors with a gradient or on a device are detached and copied.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.quantities import quantity_of
from fcpts_ref.oracle.trace_file import StepTrace, Trace, read_trace, write_trace
from fcpts_ref.storage.npz_file import read_npz_arrays

Array = NDArray[Any]


class Recorder:
    """The arrays of a run by name, step by step.

    ``recorder(name, array)`` records a copy under a name of docs/oracle.md: a quantity of the step
    (``"mask/conv1.weight"``), an input of it (``"inputs/images"``), or an array of the dense
    network (``"network/parameters/conv1.weight"``).
    """

    def __init__(self) -> None:
        self.steps: dict[int, StepTrace] = {}
        self.network: dict[str, Array] = {}
        self.step = 0

    def __call__(self, name: str, array: Any) -> None:
        """Record a copy of an array.

        Raises InputError for a name that no trace has, and for what is no array of numbers.
        """
        if not isinstance(name, str):
            raise InputError(f"the name is of type {type(name).__name__}; expected a text")
        kind, _, item = name.partition("/")
        if kind == "network":
            self.network[item] = as_numpy(array, name)
            return
        if kind != "inputs" and quantity_of(name) is None:
            raise InputError(
                f"{name!r} is no quantity of a trace; docs/oracle.md lists the names, such as "
                "'rates' or 'mask/conv1.weight'"
            )
        step = self.steps.setdefault(self.step, StepTrace())
        if kind == "inputs":
            step.inputs[item] = as_numpy(array, name)
        else:
            step.quantities[name] = as_numpy(array, name)

    def every(self, kind: str, arrays: Mapping[str, Any]) -> None:
        """Record several arrays: ``every("mask", {"conv1.weight": mask, ...})``."""
        for item, array in arrays.items():
            self(f"{kind}/{item}", array)

    def next_step(self, number: int | None = None) -> None:
        """Go on to the next step, or to that of a number."""
        self.step = self.step + 1 if number is None else int(number)

    def hook(self, name: str) -> Callable[[Any, Any, Any], None]:
        """Return a function of (module, inputs, output) that records the output under a name."""
        return lambda module, inputs, output: self(name, output)


@contextmanager
def record(path: Path | str, notes: Mapping[str, Any] | None = None) -> Iterator[Recorder]:
    """Collect arrays inside the block and write the trace at its end, whole or not at all.

    path: of the HDF5 file; nothing is written if the block fails.  notes: as in docs/oracle.md, for
    a trace with its own network and inputs; without them it is compared with a second one.
    Raises InputError if nothing was recorded or the file cannot be written.
    """
    recorder = Recorder()
    yield recorder
    if not recorder.steps:
        raise InputError("nothing was recorded; call the recorder with names and arrays")
    try:
        json.dumps(notes)
    except (TypeError, ValueError) as error:
        raise InputError(f"the notes are not JSON: {error}") from None
    write_trace(path, Trace(recorder.steps, None, notes or {}, recorder.network))


def as_numpy(array: Any, name: str = "the array") -> Array:
    """Return a copy as a NumPy array of real numbers or truth values.

    Raises InputError for anything that does not convert to one.
    """
    try:
        if hasattr(array, "detach"):  # a tensor, which may require grad and lie on a device
            array = array.detach().cpu().numpy()
        values = _converted(array)
    except Exception as error:  # a foreign __array__ may raise anything
        raise InputError(
            f"{name} of type {type(array).__name__} does not convert to a NumPy array "
            f"({type(error).__name__}: {error})"
        ) from None
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise InputError(f"{name} holds {values.dtype}; expected real numbers of at most 8 bytes")
    return values


def _converted(array: Any) -> Array:
    """Convert by ``__array__``; by DLPack where that fails or is missing."""
    has_dlpack = hasattr(array, "__dlpack__")
    if hasattr(array, "__array__") or not has_dlpack:
        try:
            return np.array(array)
        except Exception:
            if not has_dlpack:
                raise
    return np.from_dlpack(array, device="cpu", copy=True)


def trace_from_npz(path: Path | str) -> Trace:
    """Return the trace in an .npz file, whose arrays are named as in ``Recorder``.

    ``np.savez("mine.npz", **{"rates": r, "mask/conv1.weight": M, "steps/1/rates": ...})``: without
    ``steps/K/``, an array belongs to step 0.
    Raises InputError for a file that is not readable, and for names that no trace has.
    """
    recorder = Recorder()
    for name, array in read_npz_arrays(Path(path)).items():
        first, _, rest = name.partition("/")
        number, _, item = rest.partition("/")
        in_a_step = first == "steps" and number.isascii() and number.isdigit() and item
        recorder.step = int(number) if in_a_step else 0
        recorder(item.removeprefix("quantities/") if in_a_step else name, array)
    if not recorder.steps:
        raise InputError(f"{path} has no arrays; expected names such as 'rates'")
    return Trace(dict(sorted(recorder.steps.items())), None, {}, recorder.network)


def read_any_trace(path: Path | str) -> Trace:
    """Return a trace from an HDF5 file or, by its ending, from an .npz file."""
    return trace_from_npz(path) if Path(path).suffix == ".npz" else read_trace(path)
