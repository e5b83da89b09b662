"""The points that the paper leaves open, as named choices, and profiles that fix them all.

Every implementation has to decide eighteen such points.  Each is one row of ``OPEN_POINTS`` and
one field (or a few) of ``Conventions``; code that depends on a point takes the choice as an
argument and cites the point by its number ("convention 9").

``PAPER`` reads the paper as literally as it can be run; ``RELEASED`` follows the authors'
published PyTorch code.  ``EXTENDED`` departs from both for the sake of accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fcpts_ref.errors import InputError

Tie = Literal["pruned", "half"]
MaskGradient = Literal["clipped"]
PrunedWeightGradient = Literal["none", "dense"]
ThresholdParameter = Literal["threshold", "sigmoid"]
Density = Literal["kernel", "histogram"]
Bandwidth = Literal["absolute", "relative"]
AtTarget = Literal["negative", "zero"]
BoxError = Literal["smooth_l1", "squared"]
PriorWeight = Literal["foreground", "uniform"]
BatchNormMode = Literal["training", "evaluation"]

SURROGATE_WIDTH = 1.0
"""Convention 2: the surrogate derivative of sgn(u) is 1 where -1 < u < 1, else 0."""

EQUALITY_WIDTH = 4
"""Convention 12: a global rate equals its target if they differ by at most this many epsilons of
the rates' dtype: more than rounding adds up to, and less than one weight in 10^15."""

SIGMOID_FLOOR = -30.0
"""Convention 7: the logit s of a threshold is never initialised below this (t = 1e-13)."""

LEARNING_RATE_BATCH = 64
"""Convention 16: learning rates are meant for a batch of this size, and scaled by batch / 64."""


@dataclass(frozen=True)
class Conventions:
    """One choice for every open point.  The numbers are the rows of ``OPEN_POINTS``."""

    tie: Tie = "pruned"  # 1
    mask_gradient: MaskGradient = "clipped"  # 2
    reconstruction_moves_thresholds: bool = True  # 3
    mask_gradient_reaches_weights: bool = False  # 4
    pruned_weight_gradient: PrunedWeightGradient = "none"  # 4
    pruned_weight_pull: float = 0.0  # 4
    temperature: float = 1.0  # 5
    reconstructs: Literal["logits", "features"] = "logits"  # 6
    feature_layers: str = ""  # 6: comma-separated names of layers; empty: every residual addition
    box_error: BoxError = "smooth_l1"  # 6: of detectors
    box_weight: float = 1.0  # 6: of detectors, beside the class scores' 1
    prior_weight: PriorWeight = "foreground"  # 6: of detectors
    background_weight: float = 0.01  # 6: of a prior that shows nothing, where an object's is 1
    threshold_parameter: ThresholdParameter = "threshold"  # 7
    initial_allocation: str = "erk"  # 8
    initial_threshold: Literal["pruned", "rounded down"] = "pruned"  # 8
    strict_rate: bool = False  # 9
    density: Density = "kernel"  # 10
    density_samples: int = 100  # 10
    histogram_bins: int = 100  # 10
    bandwidth: Bandwidth = "relative"  # 11
    bandwidth_factor: float = 0.5  # 11
    at_target: AtTarget = "negative"  # 12
    control_weight: float = 1.0  # 13
    layers: Literal["convolution and linear"] = "convolution and linear"  # 14
    student_batch_norm: BatchNormMode = "training"  # 15
    teacher_batch_norm: BatchNormMode = "evaluation"  # 15
    learning_rate: float = 0.01  # 16, at a batch of 64: scaled by batch / 64
    threshold_learning_rate: float = 1e-4  # 16
    momentum: float = 0.9  # 16
    nesterov: bool = False  # 16
    weight_decay: float = 3e-4  # 16, on weights and batch norm; never on thresholds
    warmup_epochs: int = 1  # 16
    cosine: Literal["after warm-up", "all steps"] = "after warm-up"  # 16
    rate_update: Literal["before the step", "after the step"] = "before the step"  # 16
    calibration_images: int = 10_240  # 17
    batch_size: int = 64  # 17
    exact_rate: Literal[True] = True  # 18

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_kind(field.name, getattr(self, field.name), field.default)
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise InputError(
                    f"convention {name!r} is {getattr(self, name)}; expected at least {least}"
                )
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise InputError(
                    f"convention {name!r} is {value!r}; expected one of "
                    f"{', '.join(map(repr, allowed))}"
                )
        if self.pruned_weight_pull and self.pruned_weight_gradient == "none":
            raise InputError(
                f"convention 'pruned_weight_pull' is {self.pruned_weight_pull} and acts on the "
                "gradient of pruned weights; choose pruned_weight_gradient='dense', or a pull of 0"
            )

    @property
    def uses_pruned_gradients(self) -> bool:
        """Whether anything depends on the sparse weight's gradient where weights are pruned."""
        return (
            self.reconstruction_moves_thresholds
            or self.mask_gradient_reaches_weights
            or self.pruned_weight_gradient == "dense"
        )

    def with_choices(self, choices: Mapping[str, Any]) -> Conventions:
        """The same conventions with some fields replaced.

        Raises ``InputError`` for an unknown name or a value that is not allowed.
        """
        known = {field.name for field in fields(self)}
        unknown = sorted(set(choices) - known)
        if unknown:
            raise InputError(
                f"unknown convention {unknown[0]!r}; the conventions are {', '.join(sorted(known))}"
            )
        return replace(self, **choices)


def _check_kind(name: str, value: Any, default: Any) -> None:
    """Raise InputError unless the value is of its default's kind: a flag, a number or a name."""
    if isinstance(default, bool):
        fits, kind = isinstance(value, bool), "True or False"
    elif isinstance(default, int):
        fits, kind = isinstance(value, Integral) and not isinstance(value, bool), "a whole number"
    elif isinstance(default, float):
        real = isinstance(value, Real) and not isinstance(value, bool)
        fits, kind = real and math.isfinite(value), "a finite number"
    else:
        fits, kind = isinstance(value, str), "a name"
    if not fits:
        raise InputError(f"convention {name!r} is {value!r}; expected {kind}, such as {default!r}")


LEAST: dict[str, int] = {
    "box_weight": 0,
    "background_weight": 0,
    "density_samples": 1,
    "histogram_bins": 1,
    "control_weight": 0,
    "learning_rate": 0,
    "threshold_learning_rate": 0,
    "pruned_weight_pull": 0,
    "momentum": 0,
    "weight_decay": 0,
    "warmup_epochs": 0,
    "calibration_images": 1,
    "batch_size": 1,
}
"""The minimum of numeric conventions; Equations 4 and 12 check their own arguments."""

CHOICES: dict[str, tuple[Any, ...]] = {
    name: get_args(hint)
    for name, hint in get_type_hints(Conventions).items()
    if get_origin(hint) is Literal
}
"""The values of conventions that are declared as a ``Literal``."""


@dataclass(frozen=True)
class OpenPoint:
    """One row of the table: the question, and the answers of the two profiles."""

    number: int
    fields: tuple[str, ...]
    question: str
    paper: str
    released: str


OPEN_POINTS: tuple[OpenPoint, ...] = (
    OpenPoint(
        1,
        ("tie",),
        "Is a weight with |w| = t pruned (sgn(0) in Eq. 1)?",
        "yes: sgn is -1 unless its argument is positive",
        "half: sign(0) = 0 gives that weight the mask 0.5",
    ),
    OpenPoint(
        2,
        ("mask_gradient",),
        "What is dM/dt, the derivative of a step?",
        "not given; the released surrogate is used",
        "clipped straight-through: d sgn(u)/du := 1 where -1 < u < 1, else 0, so dM/dt = -0.5",
    ),
    OpenPoint(
        3,
        ("reconstruction_moves_thresholds",),
        "Does L_rec move the thresholds (Eq. 9, 14)?",
        "yes, summed over all weights of the layer, pruned ones included",
        "no: masks are made with gradients switched off, thresholds move by L_c alone",
    ),
    OpenPoint(
        4,
        ("mask_gradient_reaches_weights", "pruned_weight_gradient", "pruned_weight_pull"),
        "Does the mask's dependence on W feed back into dL/dW, and has a pruned weight a gradient?",
        "not mentioned; no",
        "no: dL/dW = M * dL/dW_sparse",
    ),
    OpenPoint(
        5,
        ("temperature",),
        "At which temperature is the KL divergence of Eq. 4 taken?",
        "1",
        "4 on both sides, times its square; sum over classes, mean over the batch",
    ),
    OpenPoint(
        6,
        (
            *("reconstructs", "feature_layers"),
            *("box_error", "box_weight", "prior_weight", "background_weight"),
        ),
        "Which outputs does L_rec compare?",
        "the network's; of a detector the class scores, and the boxes by an error beside them",
        "the network's; the squared error of each block's is an option that its scripts leave off",
    ),
    OpenPoint(
        7,
        ("threshold_parameter",),
        "Is t learned directly, or through a parameter?",
        "directly, kept at 0 or above",
        "through s with t = sigmoid(s); s starts at -30 or above",
    ),
    OpenPoint(
        8,
        ("initial_allocation", "initial_threshold"),
        "Where do the thresholds start?",
        "ERK at the target rate; t = the largest pruned magnitude of the layer",
        "ERK of whole weights: floor(target N) of a layer are to go before layers share; "
        "t = the largest of the int(rate N) smallest magnitudes, the smallest of all if that is 0",
    ),
    OpenPoint(
        9,
        ("strict_rate",),
        "Which weights does the rate r count (Eq. 10)?",
        "|w| <= t, which matches the masks of Eq. 1",
        "|w| < t",
    ),
    OpenPoint(
        10,
        ("density", "density_samples", "histogram_bins"),
        "How is the density p(w) estimated (Eq. 12)?",
        "Gaussian kernels on 100 weights, drawn again at each step",
        "a histogram of all weights with 100 bins between their extremes, 0 outside",
    ),
    OpenPoint(
        11,
        ("bandwidth", "bandwidth_factor"),
        "Is the bandwidth h = 0.5 in the weights' unit, or in standard deviations of the layer?",
        "standard deviations: 0.5 in the weights' unit smooths away the shape of the distribution",
        "no bandwidth",
    ),
    OpenPoint(
        12,
        ("at_target",),
        "What is dL_c/dr at exact equality (Eq. 8)?",
        'negative ("otherwise")',
        "0",
    ),
    OpenPoint(
        13,
        ("control_weight",),
        "How are L_rec and L_c weighted (Eq. 5, 7)?",
        "1 : 1",
        "1 : 1",
    ),
    OpenPoint(
        14,
        ("layers",),
        "Which layers are pruned?",
        "the weight of every convolution and linear layer, first and last included",
        "the same; biases and batch norm never",
    ),
    OpenPoint(
        15,
        ("student_batch_norm", "teacher_batch_norm"),
        "Which statistics does batch norm use while calibrating?",
        "not mentioned; the sparse network's batch statistics, the dense network's running ones",
        "batch statistics in both; the sparse network's running statistics are updated",
    ),
    OpenPoint(
        16,
        (
            "learning_rate",
            "threshold_learning_rate",
            "momentum",
            "nesterov",
            "weight_decay",
            "warmup_epochs",
            "cosine",
            "rate_update",
        ),
        "Which optimiser and schedule?",
        '"gradient descent"; the released settings, with 1e-4 for the thresholds: they are learned '
        "directly here, and the same gradient moves t = sigmoid(s) by (t (1 - t))^2 times as much",
        "SGD, momentum 0.9, learning rate 0.01 at batch 64, one warm-up epoch from 0, cosine to 0 "
        "over all steps, warm-up included, set after each step for the next, so that the first two "
        "have rate 0; weight decay 3e-4 on weights and batch norm",
    ),
    OpenPoint(
        17,
        ("calibration_images", "batch_size"),
        "How many calibration images?",
        "10k for its baseline; the same here",
        "1,024 (16 batches of 64); its unused flag says 10,240",
    ),
    OpenPoint(
        18,
        ("exact_rate",),
        "Is the global rate at the end exactly the target?",
        '"promise a specified sparsity rate": yes, by a last projection',
        "not exactly: L_c leaves it within about 0.001; projected here too, "
        "and the rate before the projection is reported",
    ),
)

PAPER = Conventions()

RELEASED = Conventions(
    tie="half",
    reconstruction_moves_thresholds=False,
    temperature=4.0,
    threshold_parameter="sigmoid",
    initial_allocation="erkfloor",
    initial_threshold="rounded down",
    strict_rate=True,
    density="histogram",
    at_target="zero",
    teacher_batch_norm="training",
    threshold_learning_rate=0.01,
    cosine="all steps",
    rate_update="after the step",
    calibration_images=1_024,
)

EXTENDED = replace(
    PAPER,
    reconstruction_moves_thresholds=False,
    temperature=4.0,
    initial_allocation="global",
    learning_rate=0.005,
)
"""Beyond the paper: the choices that did best on held-out CIFAR images (docs/results.md)."""

PROFILES: dict[str, Conventions] = {"paper": PAPER, "released": RELEASED, "extended": EXTENDED}


def profile(name: str) -> Conventions:
    """Return the conventions of a profile: "paper", "released" or "extended".

    Raises InputError for another name.
    """
    if name not in PROFILES:
        raise InputError(f"unknown profile {name!r}; expected one of {', '.join(PROFILES)}")
    return PROFILES[name]
