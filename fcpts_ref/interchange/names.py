"""Match a checkpoint's arrays with the parameters and buffers a network expects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fcpts_ref.errors import InputError, counted

# Wrappers put these before every name: data parallelism, torch.compile, Lightning modules.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")

# Other names of the same part: (theirs, ours), tried on names that do not match unchanged.
VARIANTS = (
    ("fc.", "linear."),
    ("classifier.", "linear."),
    ("downsample.", "shortcut."),
)

# PyTorch's batch norm counts its batches, AveragedModel its averages; nothing here reads them.
COUNTERS = ("num_batches_tracked", "n_averaged")

MAX_PREFIXES = 3  # in front of one name
SHOWN = 5  # names in one line of a message
SHOWN_LETTERS = 80  # of each


@dataclass(frozen=True)
class MatchReport:
    """The result of matching a checkpoint's arrays; each of them is in exactly one field."""

    arrays: dict[str, np.ndarray]  # by the expected name, of the expected shape, finite
    missing: tuple[str, ...]  # expected names that no array fits
    unexpected: tuple[str, ...]  # the checkpoint's names left over
    wrong_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]  # name: (found, expected)
    wrong_values: dict[str, str]  # name: why its values cannot be used
    renamed: dict[str, str]  # expected name: the checkpoint's name, where they differ
    ignored: tuple[str, ...]  # the checkpoint's names left out on purpose

    @property
    def complete(self) -> bool:
        """Whether every array expected is there and none is left over."""
        return not (self.missing or self.unexpected or self.wrong_shape or self.wrong_values)

    def summary(self) -> str:
        """Return one line: the number of arrays that fit, and those that do not."""
        fitting = counted(len(self.arrays), "array")
        parts = [f"{fitting} {'fits' if len(self.arrays) == 1 else 'fit'}"]
        parts += _listed("missing", self.missing)
        parts += _listed("left over", self.unexpected)
        parts += _listed(
            "of another shape",
            [f"{_shown(n)} {got} instead of {want}" for n, (got, want) in self.wrong_shape.items()],
        )
        parts += _listed(
            "unusable", [f"{_shown(name)} ({why})" for name, why in self.wrong_values.items()]
        )
        return "; ".join(parts)

    def require_complete(self, source: str) -> dict[str, np.ndarray]:
        """Return the arrays.  Raises InputError, naming ``source`` and the fault, if incomplete."""
        if not self.complete:
            raise InputError(
                f"{source} does not fit the network: {self.summary()}: {self._remedy()}"
            )
        return self.arrays

    def _remedy(self) -> str:
        for names, letter in ((self.unexpected, "B"), (self.missing, "A")):
            parts = {part for name in names for part in name.split(".")}
            if parts & {"downsample", "shortcut"}:
                return f"choose shortcut {letter} or the architecture it was trained with"
        if self.missing or self.unexpected:
            return "choose the architecture it was trained with"
        if self.wrong_shape:
            return "choose the number of classes and the image shape it was trained with"
        return "its weights cannot be used; get another checkpoint"


def _shown(name: str) -> str:
    name = name if len(name) <= SHOWN_LETTERS else name[:SHOWN_LETTERS] + "..."
    return name if name.isascii() and name.isprintable() else ascii(name)


def _listed(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"{len(names)} {what} ({', '.join(_shown(name) for name in names[:SHOWN])}{more})"


def match_state(
    state: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]]
) -> MatchReport:
    """Match a checkpoint's arrays with the names and shapes a network expects.

    A name matches unchanged, without one of PREFIXES, or with one of VARIANTS applied.  An
    unchanged name takes precedence over a changed one, and nothing is guessed from shapes.
    Arrays are neither copied nor converted.

    ``expected`` holds the shapes of everything that a checkpoint must contain: parameters and
    running statistics, but not the constants of input normalisation.
    """
    ignored = tuple(name for name in state if is_counter(name))
    sources = _match_names([name for name in state if not is_counter(name)], expected)
    arrays, wrong_shape, wrong_values = {}, {}, {}
    for target in (name for name in expected if name in sources):
        array, shape = state[sources[target]], tuple(expected[target])
        if array.shape != shape:
            wrong_shape[target] = (array.shape, shape)
        elif problem := _value_problem(array):
            wrong_values[target] = problem
        else:
            arrays[target] = array
    used = set(sources.values())
    return MatchReport(
        arrays=arrays,
        missing=tuple(name for name in expected if name not in sources),
        unexpected=tuple(name for name in state if name not in used and not is_counter(name)),
        wrong_shape=wrong_shape,
        wrong_values=wrong_values,
        renamed={target: name for target, name in sources.items() if target != name},
        ignored=ignored,
    )


def is_counter(name: str) -> bool:
    """Whether an array only counts batches or averages."""
    return name.rpartition(".")[2] in COUNTERS


def _match_names(names: Sequence[str], expected: Collection[str]) -> dict[str, str]:
    """Return the checkpoint's name for each expected name that has a match."""
    sources = {name: name for name in names if name in expected}
    for name in names:
        if name not in sources:
            fits = (c for c in _candidates(name) if c in expected and c not in sources)
            if (target := next(fits, None)) is not None:
                sources[target] = name
    return sources


def _candidates(name: str) -> Iterator[str]:
    """Yield ``name``, then without prefixes, each also with the variants applied."""
    for _ in range(MAX_PREFIXES + 1):
        yield name
        for theirs, ours in VARIANTS:
            for old, new in ((theirs, ours), (ours, theirs)):
                if name.startswith(old) or f".{old}" in name:
                    yield _replace_part(name, old, new)
        prefix = next((p for p in PREFIXES if name.startswith(p)), None)
        if prefix is None:
            return
        name = name.removeprefix(prefix)


def without_wrapper(names: Iterable[str]) -> dict[str, str]:
    """Return the full names by those without the prefixes of wrappers, which all of them have."""
    short = {name: name for name in names}
    for _ in range(MAX_PREFIXES):
        prefix = next((p for p in PREFIXES if all(n.startswith(p) for n in short)), None)
        if prefix is None:
            break
        short = {name.removeprefix(prefix): full for name, full in short.items()}
    return short


def _replace_part(name: str, old: str, new: str) -> str:
    """Replace the first path component ``old`` (with its dot) by ``new``."""
    return f".{name}".replace(f".{old}", f".{new}", 1)[1:]


def _value_problem(array: np.ndarray) -> str:
    if array.dtype.kind != "f":
        return f"{array.dtype}, expected floating point"
    if not np.isfinite(array).all():
        return "NaN or infinite values"
    return ""
