"""The layers to prune, and bounds on their rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from fcpts_ref.errors import InputError
from fcpts_ref.spec.bounds import free_bounds


@dataclass(frozen=True)
class Selection:
    """Layers with rules of their own, by name or pattern ("conv1", "layer1.*", "*.conv2").

    keep_dense: layers that stay dense and do not count in the target.
    max_rates: the highest rate of a layer.  rates: the fixed rate of a layer.
    If several patterns match a layer, the last one counts.
    Raises InputError for a rate outside [0, 1).
    """

    keep_dense: tuple[str, ...] = ()
    max_rates: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in ("max_rates", "rates"):
            for pattern, rate in getattr(self, kind).items():
                if not 0 <= rate < 1:
                    raise InputError(
                        f"{kind} of {pattern!r} is {rate}; expected a sparsity rate in [0, 1)"
                    )

    def bounds(self, sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Return the fewest and most units to prune by weight, without layers that stay dense.

        sizes: the number of units by the weight's name ("conv1.weight").
        Raises InputError for a pattern that fits no layer, or if every layer stays dense.
        """
        result: dict[str, tuple[int, int]] = free_bounds(sizes)
        for pattern in self.keep_dense:
            for name in _matching(pattern, sizes):
                result.pop(name, None)
        for name, rate in _by_layer(self.max_rates, sizes).items():
            _narrow(result, name, 0, round(rate * sizes[name]))
        for name, rate in _by_layer(self.rates, sizes).items():
            _narrow(result, name, *(2 * [round(rate * sizes[name])]))
        if not result:
            raise InputError("every layer is kept dense; leave at least one to be pruned")
        return result


def _by_layer(rates: Mapping[str, float], sizes: Mapping[str, int]) -> dict[str, float]:
    """Return the rate of every layer that a pattern matches; later patterns override earlier."""
    return {name: rate for pattern, rate in rates.items() for name in _matching(pattern, sizes)}


def _narrow(bounds: dict[str, tuple[int, int]], name: str, low: int, high: int) -> None:
    if name in bounds:  # else the layer is kept dense
        most = bounds[name][1]
        bounds[name] = (min(low, most), min(high, most))


def _matching(pattern: str, sizes: Mapping[str, int]) -> list[str]:
    names = {name: name.removesuffix(".weight") for name in sizes}
    found = [name for name, layer in names.items() if fnmatchcase(layer, pattern)]
    if not found:
        raise InputError(
            f"no layer is called {pattern!r}; expected a name or pattern of "
            f"{', '.join(names.values())}"
        )
    return found
