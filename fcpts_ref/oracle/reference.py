"""The reference as an adapter: one function per operation of the vectors.

It is an example of an adapter, too: ``fcpts-ref conform check --adapter reference``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fcpts_ref import equations, layers
from fcpts_ref.equations import (
    control_loss,
    control_loss_gradient,
    control_threshold_gradient,
    density,
    histogram_density,
    mask,
    mask_threshold_gradient,
    rate_gradient,
    rate_threshold_gradient,
    reconstruction_loss,
    reconstruction_loss_gradient,
    reconstruction_rate_gradient,
    reconstruction_threshold_gradient,
    sparse_weight,
    sparsity_rate,
    sparsity_rate_integral,
    total_loss,
)
from fcpts_ref.networks.graph import IMAGES, Graph, Node
from fcpts_ref.networks.network import Network

__all__ = [
    "control_loss",
    "control_loss_gradient",
    "control_threshold_gradient",
    "density",
    "histogram_density",
    "mask",
    "mask_threshold_gradient",
    "rate_gradient",
    "rate_threshold_gradient",
    "reconstruction_loss",
    "reconstruction_loss_gradient",
    "reconstruction_rate_gradient",
    "reconstruction_threshold_gradient",
    "sparse_weight",
    "sparsity_rate",
    "sparsity_rate_integral",
    "total_loss",
]

PAIRS = {"stride", "padding", "dilation", "kernel"}  # lists in the vectors, tuples in the layers
TENSORS = {
    "convolution": ("x", "weight", "bias"),
    "linear": ("x", "weight", "bias"),
    "batch_norm": ("x", "gamma", "beta", "running_mean", "running_var"),
    "add": ("a", "b"),
    "normalise": ("x", "mean", "std"),
    "cross_entropy": ("logits", "labels"),
    "kl_divergence": ("dense_logits", "sparse_logits"),
}  # the positional arguments; all other layers take x alone


def sparse_output(
    images: Any,
    convolution_weight: Any,
    linear_weight: Any,
    linear_bias: Any,
    convolution_mask: Any,
    linear_mask: Any,
) -> Any:
    """Equation 2 through a network: convolution, ReLU, mean over the pixels, linear layer."""
    K, C, R, S = convolution_weight.shape
    settings = {"in_channels": C, "out_channels": K, "kernel": (R, S), "stride": 1, "padding": 1}
    features = {"in_features": K, "out_features": len(linear_bias), "bias": True}
    nodes = (
        Node("conv", "convolution", (IMAGES,), settings | {"bias": False}),
        Node("relu", "relu", ("conv",)),
        Node("pool", "global_average_pool", ("relu",)),
        Node("linear", "linear", ("pool",), features),
    )
    parameters = {
        "conv.weight": convolution_weight,
        "linear.weight": linear_weight,
        "linear.bias": linear_bias,
    }
    network = Network(Graph("small", images.shape[1:], nodes), parameters, {})
    masks = {"conv.weight": convolution_mask, "linear.weight": linear_mask}
    return equations.sparse_output(network, images, masks)


def __getattr__(operation: str) -> Callable[..., Any]:
    """The layers' functions, ``relu_forward`` and so on, without one definition for each."""
    for suffix, make in (("_forward", _make_forward), ("_backward", _make_backward)):
        if operation.endswith(suffix) and hasattr(layers, operation):
            return make(operation.removesuffix(suffix))
    raise AttributeError(f"module {__name__!r} has no attribute {operation!r}")


def _split(name: str, inputs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    tensors = TENSORS.get(name, ("x",))
    settings = {
        key: tuple(value) if key in PAIRS and isinstance(value, Sequence) else value
        for key, value in inputs.items()
        if key not in tensors
    }
    return [inputs[key] for key in tensors if key in inputs], settings


def _make_forward(name: str) -> Callable[..., Any]:
    forward = getattr(layers, f"{name}_forward")

    def run(**inputs: Any) -> Any:
        arrays, settings = _split(name, inputs)
        value, _ = forward(*arrays, **settings)
        return value

    return run


def _make_backward(name: str) -> Callable[..., Any]:
    forward = getattr(layers, f"{name}_forward")
    backward = getattr(layers, f"{name}_backward")

    def run(**inputs: Any) -> Any:
        cotangent = inputs.pop(next(iter(inputs)))  # dy or dloss, the first input
        arrays, settings = _split(name, inputs)
        _, cache = forward(*arrays, **settings)
        return backward(cotangent, cache)

    return run
