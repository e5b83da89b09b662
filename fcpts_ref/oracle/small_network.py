"""The small network on which the vectors take whole FCPTS steps, run by the reference.

Convolution 3x3 (padding 1), batch norm, ReLU, convolution 3x3 (stride 2, padding 1), batch norm,
ReLU, mean over the pixels, linear layer with bias.  With inputs "mean" and "std" it is residual:
the images are normalised, and before the second ReLU a shortcut is added, every other pixel of the
first ReLU's value with a channel of zeros after its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.graphs.graph import IMAGES, LOGITS, Graph, Node
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.fcpts.step import State, step, thresholds_of
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.spec.allocation import Allocation
from fcpts_ref.spec.conventions import Conventions

Arrays = Mapping[str, Any]


def make_graph(
    parameters: Sequence[Any], image_shape: tuple[int, int, int], *, residual: bool = False
) -> Graph:
    """Build the graph for arrays in the order of ``Graph.parameter_shapes``."""
    first, second, last = (parameters[i].shape for i in (0, 3, 6))
    window = {"kernel": 3, "padding": 1, "bias": False}

    def convolve(shape: tuple[int, ...], stride: int) -> dict[str, Any]:
        return window | {"in_channels": shape[1], "out_channels": shape[0], "stride": stride}

    features = {"in_features": last[1], "out_features": last[0], "bias": True}
    more = {"before": 0, "after": second[0] - second[1]}
    start = Node("normalise", "normalise", (IMAGES,), {"channels": first[1]})
    shortcut = (
        Node("subsample", "subsample", ("relu1",), {"stride": 2}),
        Node("pad", "zero_pad", ("subsample",), more),
        Node("add", "add", ("bn2", "pad")),
    )
    nodes = (
        *([start] if residual else []),
        Node("conv1", "convolution", (start.name if residual else IMAGES,), convolve(first, 1)),
        Node("bn1", "batch_norm", ("conv1",), {"channels": first[0]}),
        Node("relu1", "relu", ("bn1",)),
        Node("conv2", "convolution", ("relu1",), convolve(second, 2)),
        Node("bn2", "batch_norm", ("conv2",), {"channels": second[0]}),
        *(shortcut if residual else ()),
        Node("relu2", "relu", ("add" if residual else "bn2",)),
        Node("pool", "global_average_pool", ("relu2",)),
        Node("linear", "linear", ("pool",), features),
    )
    return Graph("small", {IMAGES: image_shape}, nodes, {LOGITS: "linear"})


def fcpts_step(images: Any, samples: Any, **inputs: Any) -> dict[str, Any]:
    """Take one step of Algorithm 1; return every quantity that the vectors compare."""
    problem, state, conventions = _begin(images, inputs)
    return _step(problem, state, images, samples, conventions, inputs)[0]


def fcpts_run(
    images: Any, samples: Any, learning_rates: Any, threshold_learning_rates: Any, **inputs: Any
) -> dict[str, Any]:
    """Take one step per batch."""
    problem, state, conventions = _begin(images[0], inputs)
    history = []
    for i, batch in enumerate(images):
        rates = {
            "learning_rate": float(learning_rates[i]),
            "threshold_learning_rate": float(threshold_learning_rates[i]),
        }
        now = conventions.with_choices(rates)
        outputs, state = _step(problem, state, batch, samples[i], now, inputs)
        history.append(outputs)
    traced = ("reconstruction_loss", "control_loss", "rates", "new_thresholds")
    result = {name: np.stack([one[name] for one in history]) for name in traced}
    return result | {name: history[-1][name] for name in ("masks", "new_parameters", "new_buffers")}


def _begin(images: Any, inputs: Mapping[str, Any]) -> tuple[Problem, State, Conventions]:
    residual = "mean" in inputs
    graph = make_graph(inputs["dense_parameters"], images.shape[1:], residual=residual)
    names, buffers = list(graph.parameter_shapes), _running(graph)
    fixed = {f"normalise.{n}": inputs[n] for n in ("mean", "std")} if residual else {}

    def by_name(keys: Sequence[str], key: str) -> dict[str, Any]:
        return dict(zip(keys, inputs[key], strict=True))

    dense = Network(
        graph, by_name(names, "dense_parameters"), fixed | by_name(buffers, "dense_buffers")
    )
    engines = NumpyEngine(graph), NumpyEngine(graph)
    problem = Problem(dense, images, inputs["target"], *engines)
    state = State(
        step=0,
        parameters=by_name(names, "parameters"),
        buffers=fixed | by_name(buffers, "buffers"),
        velocities=by_name(names, "velocities"),
        threshold_parameters=inputs["threshold_parameters"],
        threshold_velocities=inputs["threshold_velocities"],
        allocation=_allocation(graph, inputs),
    )
    known = {field.name for field in fields(Conventions)}
    choices = {name: value for name, value in inputs.items() if name in known}
    return problem, state, Conventions().with_choices(choices)


def _running(graph: Graph) -> list[str]:
    """The names of the running statistics."""
    return [name for name in graph.buffer_shapes if not name.startswith("normalise.")]


def _allocation(graph: Graph, inputs: Mapping[str, Any]) -> Allocation:
    """The rates at which the layers stay if they are not learned."""
    rates = inputs.get("initial_rates")
    given = [] if rates is None else rates.tolist()
    return Allocation(dict(zip(graph.prunable, given, strict=False)))


def _step(
    problem: Problem,
    state: State,
    images: Any,
    samples: Any,
    conventions: Conventions,
    inputs: Mapping[str, Any],
) -> tuple[dict[str, Any], State]:
    seen: dict[str, Any] = {}
    new, _ = step(
        problem,
        state,
        images,
        list(samples),
        conventions,
        control=inputs["control"],
        learn_rates=inputs.get("learn_rates", True),
        rate_factor=inputs.get("rate_factor", 1.0),
        observe=seen.__setitem__,
    )
    graph = problem.network.graph
    gradients = {
        name: seen.get(f"dweight/{name}", seen.get(f"dparameter/{name}"))
        for name in graph.parameter_shapes
    }
    outputs = {name: value for name, value in seen.items() if "/" not in name}
    outputs |= {
        "masks": _flat([seen[f"mask/{name}"] for name in graph.prunable]),
        "new_parameters": _flat(new.parameters[name] for name in graph.parameter_shapes),
        "new_velocities": _flat(new.velocities[name] for name in graph.parameter_shapes),
        "new_threshold_parameters": new.threshold_parameters,
        "new_threshold_velocities": new.threshold_velocities,
        "new_thresholds": thresholds_of(new.threshold_parameters, conventions),
        "new_buffers": _flat(new.buffers[name] for name in _running(graph)),
    }
    if all(gradient is not None for gradient in gradients.values()):
        outputs["dparameters"] = _flat(gradients.values())
    return outputs, new


def _flat(arrays: Any) -> Any:
    return np.concatenate([array.ravel() for array in arrays])
