"""The reference as an adapter: one function per operation of the vectors.

It also serves as an example of an adapter: ``fcpts-ref conform check --adapter reference``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fcpts_ref import layers
from fcpts_ref.graphs.graph import IMAGES, LOGITS, Graph, Node
from fcpts_ref.graphs.network import Network
from fcpts_ref.oracle.method_operations import (
    block_norms,
    channel_cost,
    expand_ratios,
    keep_ratio_gradient,
    project_keep_ratios,
    project_scores,
    regrown_mask,
    relaxed_mask_gradient,
    score_gradient,
    select_by_ratios,
    select_by_scores,
    soft_mask_gradients,
    soft_mask_temperature,
    soft_top_k_gradient,
)
from fcpts_ref.oracle.small_network import fcpts_run, fcpts_step
from fcpts_ref.pruning.fcpts.step import parameter_of, thresholds_at
from fcpts_ref.spec import budget, equations, optim
from fcpts_ref.spec.allocation import allocate
from fcpts_ref.spec.budget import mask_of_count, threshold_of_count
from fcpts_ref.spec.channel_pruning import draw_mask, keep_probabilities, solve_log_threshold
from fcpts_ref.spec.channel_regularisers import group_shrinkage, scale_penalty_gradient
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH, Conventions
from fcpts_ref.spec.equations import (
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
from fcpts_ref.spec.patterns import pattern_mask
from fcpts_ref.spec.probabilistic_masks import (
    cubic_density,
    falling_temperature,
    logistic_noise,
    relaxed_mask,
)
from fcpts_ref.spec.regrowth import drop_share, straight_through_gradient
from fcpts_ref.spec.rescaled_threshold import channel_scales, rescaled_soft_threshold
from fcpts_ref.spec.soft_threshold import soft_threshold, soft_threshold_gradients
from fcpts_ref.spec.soft_top_k import soft_top_k
from fcpts_ref.spec.threshold_pruning import soft_count, soft_mask

__all__ = [
    "block_norms",
    "channel_cost",
    "channel_scales",
    "control_loss",
    "control_loss_gradient",
    "control_threshold_gradient",
    "cubic_density",
    "density",
    "draw_mask",
    "drop_share",
    "expand_ratios",
    "falling_temperature",
    "fcpts_run",
    "fcpts_step",
    "group_shrinkage",
    "histogram_density",
    "initial_thresholds",
    "initial_thresholds_rounded_down",
    "keep_probabilities",
    "keep_ratio_gradient",
    "logistic_noise",
    "mask",
    "mask_of_count",
    "mask_threshold_gradient",
    "pattern_mask",
    "project_keep_ratios",
    "project_scores",
    "rate_gradient",
    "rate_threshold_gradient",
    "reconstruction_loss",
    "reconstruction_loss_gradient",
    "reconstruction_rate_gradient",
    "reconstruction_threshold_gradient",
    "regrown_mask",
    "relaxed_mask",
    "relaxed_mask_gradient",
    "released_schedule",
    "rescaled_soft_threshold",
    "run_schedule",
    "scale_penalty_gradient",
    "score_gradient",
    "select_by_ratios",
    "select_by_scores",
    "soft_count",
    "soft_mask",
    "soft_mask_gradients",
    "soft_mask_temperature",
    "soft_threshold",
    "soft_threshold_gradients",
    "soft_top_k",
    "soft_top_k_gradient",
    "solve_log_threshold",
    "sparse_weight",
    "sparsity_rate",
    "sparsity_rate_integral",
    "straight_through_gradient",
    "threshold_of_count",
    "total_loss",
]

LISTS = {"stride", "padding", "dilation", "kernel", "axes", "pads", "size", "scales", "roi"}
"""Lists or arrays in the vectors, tuples in the layers."""
TENSORS = {
    "convolution": ("x", "weight", "bias"),
    "linear": ("x", "weight", "bias"),
    "batch_norm": ("x", "gamma", "beta", "running_mean", "running_var"),
    "add": ("a", "b"),
    "subtract": ("a", "b"),
    "multiply": ("a", "b"),
    "divide": ("a", "b"),
    "concat": ("values",),
    "normalise": ("x", "mean", "std"),
    "cross_entropy": ("logits", "labels"),
    "kl_divergence": ("dense_logits", "sparse_logits"),
    "matmul": ("a", "b"),
    "layer_norm": ("x", "gamma", "beta"),
    "attention": ("q", "k", "v"),
    "class_token": ("x", "token"),
    "add_parameter": ("x", "parameter"),
    "multiply_parameter": ("x", "parameter"),
}  # the positional arguments; all other layers take x alone
LAYERS = {
    "padded_convolution": "convolution",
    "windowed_max_pool": "max_pool",
    "windowed_average_pool": "average_pool",
    "broadcast_add": "add",
}
"""Operations of the vectors that are other cases of a layer, which not everybody supports."""


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
    graph = Graph("small", {IMAGES: images.shape[1:]}, nodes, {LOGITS: "linear"})
    parameters = {
        "conv.weight": convolution_weight,
        "linear.weight": linear_weight,
        "linear.bias": linear_bias,
    }
    network = Network(graph, parameters, {})
    masks = {"conv.weight": convolution_mask, "linear.weight": linear_mask}
    return equations.sparse_output(network, images, masks)


ALLOCATIONS = {
    "allocation_uniform": "uniform",
    "allocation_erk": "erk",
    "allocation_erk_floor": "erkfloor",
    "allocation_global_magnitude": "global",
    "allocation_l1_norm": "l1norm",
    "allocation_l2_norm": "l2norm",
    "allocation_lamp": "lamp",
}


def pruned_count(target: float, size: int) -> int:
    """The number of weights that a target rate prunes."""
    return budget.budget(target, size)


def exact_masks(weights: list[Any], thresholds: Any, count: int) -> Any:
    """The masks of all layers, flattened and concatenated."""
    names = [str(i) for i in range(len(weights))]
    masks = budget.exact_masks(
        dict(zip(names, weights, strict=True)),
        dict(zip(names, thresholds.tolist(), strict=True)),
        count,
    )
    return np.concatenate([mask.ravel() for mask in masks.values()])


def sgd(parameter: Any, gradients: Any, learning_rates: Any, **settings: Any) -> tuple[Any, Any]:
    """The parameters after every step, and the last velocity."""
    velocity, history = np.zeros_like(parameter), []
    for gradient, learning_rate in zip(gradients, learning_rates, strict=True):
        parameter, velocity = optim.sgd_step(
            parameter, gradient, velocity, learning_rate=learning_rate, **settings
        )
        history.append(parameter)
    return np.stack(history), velocity


def adam(parameter: Any, gradients: Any, beta1: float, beta2: float, **settings: Any) -> Any:
    """The parameters after every step."""
    first, second, history = np.zeros_like(parameter), np.zeros_like(parameter), []
    for step, gradient in enumerate(gradients, start=1):
        parameter, first, second = optim.adam_step(
            parameter, gradient, first, second, step, betas=(beta1, beta2), **settings
        )
        history.append(parameter)
    return np.stack(history)


def initial_thresholds(weights: list[Any], rates: Any, threshold_parameter: str) -> Any:
    """The thresholds that a run begins with at these rates, and their parameters."""
    return _thresholds_at(weights, rates, threshold_parameter, "pruned")


def initial_thresholds_rounded_down(
    weights: list[Any], rates: Any, threshold_parameter: str
) -> Any:
    """As ``initial_thresholds``, with initial_threshold="rounded down"."""
    return _thresholds_at(weights, rates, threshold_parameter, "rounded down")


def _thresholds_at(weights: list[Any], rates: Any, parameter: str, start: str) -> Any:
    layers_by_name = {str(i): weight for i, weight in enumerate(weights)}
    by_name = dict(zip(layers_by_name, rates.tolist(), strict=True))
    t = np.array(thresholds_at(layers_by_name, by_name, start))
    conventions = Conventions().with_choices({"threshold_parameter": parameter})
    return t, parameter_of(t, conventions)


def run_schedule(calibration_images: int, batch_size: int, epochs: int, warmup_epochs: int) -> Any:
    """The number of steps of a run, and the factor on the learning rates at each."""
    return _schedule_of(calibration_images, batch_size, epochs, warmup_epochs)


def released_schedule(
    calibration_images: int, batch_size: int, epochs: int, warmup_epochs: int
) -> Any:
    """As ``run_schedule``, with cosine="all steps" and rate_update="after the step"."""
    choices = ("all steps", "after the step")
    return _schedule_of(calibration_images, batch_size, epochs, warmup_epochs, *choices)


def _schedule_of(images: int, batch: int, epochs: int, warmup_epochs: int, *choices: Any) -> Any:
    per_epoch = images // batch
    steps, warmup = epochs * per_epoch, min(warmup_epochs, epochs) * per_epoch
    scale = batch / LEARNING_RATE_BATCH
    factors = [scale * optim.warmup_cosine(step, steps, warmup, *choices) for step in range(steps)]
    return np.array(steps), np.array(factors)


def schedule(steps: int, warmup: int) -> Any:
    """The factor on the learning rate at every step."""
    return np.array([optim.warmup_cosine(step, steps, warmup) for step in range(steps)])


def __getattr__(operation: str) -> Callable[..., Any]:
    """Return a layer's function or an allocation, which have no definitions of their own here."""
    if operation in ALLOCATIONS:
        return _make_allocation(ALLOCATIONS[operation])
    for suffix, make in (("_forward", _make_forward), ("_backward", _make_backward)):
        name = operation.removesuffix(suffix)
        name = LAYERS.get(name, name)
        if operation.endswith(suffix) and hasattr(layers, f"{name}{suffix}"):
            return make(name)
    raise AttributeError(f"module {__name__!r} has no attribute {operation!r}")


def _make_allocation(name: str) -> Callable[..., Any]:
    def run(weights: list[Any], target: float) -> Any:
        layers_by_name = {str(i): weight for i, weight in enumerate(weights)}
        return np.array(list(allocate(name, layers_by_name, target).rates.values()))

    return run


def _split(name: str, inputs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    tensors = TENSORS.get(name, ("x",))
    settings = {
        key: tuple(value) if key in LISTS and isinstance(value, list | np.ndarray) else value
        for key, value in inputs.items()
        if key not in tensors
    }
    given = [inputs[key] for key in tensors if key in inputs]
    return (given[0] if isinstance(given[0], list) else given), settings


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
