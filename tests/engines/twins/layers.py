"""The other functions of ``fcpts_ref.layers`` on the steps of the fast engine.

Arguments, results and errors are those of the NumPy layers, for float32 and float64.  Each function
packs its input into a buffer, runs one step of a plan and unpacks the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref import layers as twin
from fcpts_ref.engines.numba.memory.buffers import Slot, rows
from fcpts_ref.engines.numba.memory.layout import allocate, make_geometry
from fcpts_ref.engines.numba.plan.fusion import Group
from fcpts_ref.engines.numba.plan.step import Run, Step
from fcpts_ref.engines.numba.plan.steps import step_class
from fcpts_ref.engines.numba.pointwise.normalise import normalise
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Node
from fcpts_ref.layers.convolution import Pair

Array = NDArray[Any]
Cache = tuple[Any, ...]


def batch_norm_forward(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    *,
    training: bool,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
) -> tuple[tuple[Array, Array, Array], Cache]:
    """As ``fcpts_ref.layers.batch_norm_forward``."""
    C = x.shape[1] if x.ndim == 4 else -1
    if not (gamma.shape == beta.shape == running_mean.shape == running_var.shape == (C,)):
        raise InputError(
            f"batch norm got x {x.shape} and gamma {gamma.shape}; expected (N, C, H, W) and (C,)"
        )
    attributes = {"channels": C, "momentum": momentum, "epsilon": epsilon}
    stored = {"weight": gamma, "bias": beta}
    statistics = {"running_mean": running_mean, "running_var": running_var}
    y, (step, run) = _forward("batch_norm", (x,), attributes, stored, statistics, training)
    new = [run.new_buffers.get(f"{step.name}.{name}", old) for name, old in statistics.items()]
    return (y, new[0], new[1]), (step, run)


def batch_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    """As ``fcpts_ref.layers.batch_norm_backward``."""
    (dx,) = _backward(dy, cache)
    step, run = cache
    return dx, run.gradients[f"{step.name}.weight"], run.gradients[f"{step.name}.bias"]


def relu_forward(x: Array) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.relu_forward``, for real x."""
    return _forward("relu", (x,))


def relu6_forward(x: Array) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.relu6_forward``, for real x."""
    return _forward("relu6", (x,))


def max_pool_forward(
    x: Array, *, kernel: Pair, stride: Pair | None = None, padding: Pair = 0
) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.max_pool_forward``."""
    return _forward("max_pool", (x,), {"kernel": kernel, "stride": stride, "padding": padding})


def average_pool_forward(
    x: Array, *, kernel: Pair, stride: Pair | None = None, padding: Pair = 0
) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.average_pool_forward``."""
    return _forward("average_pool", (x,), {"kernel": kernel, "stride": stride, "padding": padding})


def global_average_pool_forward(x: Array) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.global_average_pool_forward``."""
    return _forward("global_average_pool", (x,))


def subsample_forward(x: Array, *, stride: int) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.subsample_forward``."""
    if stride < 1:
        raise InputError(f"subsample got stride {stride}; expected at least 1")
    return _forward("subsample", (x,), {"stride": stride})


def zero_pad_forward(x: Array, *, before: int, after: int) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.zero_pad_forward``."""
    if before < 0 or after < 0:
        raise InputError(f"zero_pad got before {before}, after {after}; expected at least 0")
    return _forward("zero_pad", (x,), {"before": before, "after": after})


def flatten_forward(x: Array) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.flatten_forward``."""
    return _forward("flatten", (x,))


def add_forward(a: Array, b: Array) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.add_forward``."""
    if a.shape != b.shape:
        raise InputError(f"add got shapes {a.shape} and {b.shape}; expected the same")
    return _forward("add", (a, b))


def add_backward(dy: Array, cache: Cache) -> tuple[Array, Array]:
    """dy to both branches."""
    return dy, dy


def normalise_forward(x: Array, mean: Array, std: Array) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.normalise_forward``."""
    if x.ndim != 4 or not (mean.shape == std.shape == (x.shape[1],)):
        raise InputError(
            f"normalise got x {x.shape}, mean {mean.shape}, std {std.shape}; "
            "expected (N, C, H, W) and (C,)"
        )
    slot = _slot(x.shape, x.dtype)
    normalise(np.ascontiguousarray(x), mean, 1 / std, slot.array, slot.geometry.pitch)
    return slot.values.copy(), (1 / std[:, np.newaxis, np.newaxis],)


def _one_gradient(dy: Array, cache: Cache) -> Array:
    """As the NumPy twin: the gradient of the layer's one input."""
    (dx,) = _backward(dy, cache)
    return dx


relu_backward = relu6_backward = flatten_backward = _one_gradient
max_pool_backward = average_pool_backward = global_average_pool_backward = _one_gradient
subsample_backward = zero_pad_backward = _one_gradient
normalise_backward = twin.normalise_backward  # one product, NumPy's own


# A single step


def _forward(
    operation: str,
    inputs: tuple[Array, ...],
    attributes: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Array] | None = None,
    buffers: Mapping[str, Array] | None = None,
    training: bool = False,
) -> tuple[Array, tuple[Step, Run]]:
    """The value of one node, and its step and run for ``_backward``."""
    attributes = {k: v for k, v in (attributes or {}).items() if v is not None}
    N, dtype = inputs[0].shape[0], inputs[0].dtype
    if dtype not in (np.float32, np.float64):
        raise InputError(f"{operation} got {dtype}; the kernels expect float32 or float64")
    node = Node("layer", operation, tuple(f"input{i}" for i in range(len(inputs))), attributes)
    shape = node.row.shape([x.shape[1:] for x in inputs], node.attributes)
    shapes = {name: x.shape[1:] for name, x in zip(node.inputs, inputs, strict=True)}
    group = Group((node,), node.inputs, node.name)
    step = step_class(group, shapes | {node.name: shape})(group, N, dtype, True)
    slots = [_filled(x) for x in inputs]
    step.bind(slots, _slot((N, *shape), dtype))
    run = Run(_named(parameters), _named(buffers), {}, training, False)
    step.forward(run)
    return step.output.values.copy(), (step, run)


def _backward(dy: Array, cache: Cache) -> list[Array]:
    """The gradients of the step's inputs."""
    step, run = cache
    slots = [_slot(slot.values.shape, step.dtype) for slot in step.inputs]
    step.bind_backward(_filled(dy), list(slots), [False] * len(slots))
    step.backward(run)
    return [slot.values.copy() for slot in slots]


def _named(arrays: Mapping[str, Array] | None) -> dict[str, Array]:
    return {
        f"layer.{name}": np.require(a, None, ("C", "A", "W")) for name, a in (arrays or {}).items()
    }


def _filled(values: Array) -> Slot:
    slot = _slot(values.shape, values.dtype)
    slot.values[...] = values
    return slot


def _slot(shape: tuple[int, ...], dtype: Any) -> Slot:
    """Memory for values of this shape, the images first."""
    if len(shape) != 4:
        return Slot(rows(shape, dtype), None)
    geometry = make_geometry(shape[2], shape[3], 0)
    return Slot(allocate(shape[0], shape[1], geometry, dtype), geometry)
