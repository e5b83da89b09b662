"""What this program writes into an ONNX file about a network, and reads again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from numpy.typing import NDArray

import fcpts_ref
from fcpts_ref.graphs.network import Network, global_rate

PREFIX: Final = "fcpts_ref."
"""Before the keys that this program writes."""
INCLUDED, OMITTED = "included", "omitted"


def describe(model: Any, network: Network, normalisation: bool, more: Mapping[str, str]) -> None:
    """Write producer and metadata into a ModelProto, in place of those of an earlier export."""
    model.producer_name, model.producer_version = "fcpts-ref", fcpts_ref.__version__
    texts = {
        **({"rate": f"{global_rate(network):.6f}"} if network.graph.prunable else {}),
        "version": fcpts_ref.__version__,
        "normalisation": INCLUDED if normalisation else OMITTED,
        **_constants(network),
        **more,
    }
    kept = [(e.key, e.value) for e in model.metadata_props if not e.key.startswith(PREFIX)]
    del model.metadata_props[:]
    for key, value in [*kept, *((PREFIX + key, text) for key, text in texts.items())]:
        model.metadata_props.add(key=key, value=value)


def _constants(network: Network) -> dict[str, str]:
    """Return mean and standard deviation of the input normalisation as texts."""
    return {
        short: _numbers(network.buffers[f"{node.name}.{short}"])
        for node in network.graph.nodes
        if node.operation == "normalise" and node.inputs[0] in network.graph.inputs
        for short in ("mean", "std")
    }


def _numbers(array: NDArray[Any]) -> str:
    return ",".join(f"{float(number):.9g}" for number in array)


def default_normalisation(model: Any, inputs: Mapping[str, tuple[int, ...]]) -> str:
    """Return the normalisation of a file as text: "none", "imagenet", or numbers.

    A file of this program says it; of others, three channels are normalised as ImageNet's.
    """
    found = {
        entry.key.removeprefix(PREFIX): entry.value
        for entry in model.metadata_props
        if entry.key.startswith(PREFIX)
    }
    if found.get("normalisation") == OMITTED and "mean" in found and "std" in found:
        return f"{found['mean']}/{found['std']}"
    shapes = list(inputs.values())
    colours = len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][0] == 3
    return "none" if "normalisation" in found or not colours else "imagenet"
