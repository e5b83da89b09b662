"""The cases of Equations 1-14."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tools.vectors import equations
from tools.vectors.draw import Draw
from tools.vectors.suite import Group, operations_of

NAN, INF = float("nan"), float("inf")
HALF_STEP = 1 / 2048  # drawn numbers are multiples of 1/1024: this keeps thresholds between them


def arr(*values: float, dtype: str = "float64") -> np.ndarray:
    """Return a float64 vector."""
    return np.array(values, dtype=dtype)


def make_groups() -> list[Group]:
    """Make one group per equation."""
    makers = (
        _equation_1, _equation_2, _equation_3, _equation_4, _equation_5, _equation_7, _equation_8,
        _equation_9, _equation_10, _equation_11, _equation_12, _equation_13, _equation_14,
    )  # fmt: skip
    return [make() for make in makers]


def _group(number: int, title: str, **rules: str) -> Group:
    operations = operations_of(equations, **rules)
    group = Group(f"eq{number:02d}", title, f"Equation {number}", operations)
    group.note(
        "REJECT",
        why="Bad input that computes something would hide the mistake that made it.",
        effect="NaN weights, wrong shapes or impossible settings go through unnoticed.",
    )
    return group


def _note_dtype(group: Group) -> None:
    group.note(
        "DTYPE",
        why="The result has the dtype of the inputs.",
        effect="float32 networks grow to float64, or float64 checks lose half their digits.",
    )


def _note_edge(group: Group) -> None:
    group.note(
        "EDGE",
        why="Sizes 0 and 1, all alike, all pruned, none pruned.",
        effect="Degenerate layers crash or yield NaN in the middle of a run.",
    )


def _equation_1() -> Group:
    group = _group(1, "The mask", mask="exact")
    _note_edge(group)
    _note_dtype(group)
    group.note(
        "BOUNDARY",
        why="sgn(0) decides weights that lie exactly on the threshold, and thresholds are set to "
        "weights (the largest pruned magnitude).",
        effect="One weight per layer, and every tied one, is kept, pruned or halved differently.",
    )
    on = arr(-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75)

    def drawn(shape: tuple[int, ...], threshold: float, tie: str = "pruned") -> Any:
        return lambda draw: {
            "weight": draw.weights(*shape), "threshold": threshold + HALF_STEP, "tie": tie,
        }  # fmt: skip

    group.add(1, "mask", "a vector", drawn((17,), 0.5))
    group.add(2, "mask", "a matrix", drawn((5, 4), 0.75))
    group.add(3, "mask", "a convolution kernel", drawn((3, 2, 3, 3), 1.0))
    group.add(4, "mask", "a depthwise kernel", drawn((4, 1, 3, 3), 0.25))
    group.add(5, "mask", "tie='half' away from ties", drawn((16,), 0.5, "half"), conventions=(1,))
    group.add(6, "mask", "everything pruned", drawn((9,), 20.0), flags=("EDGE",))
    group.add(
        7, "mask", "threshold 0 keeps every weight but zeros",
        {"weight": arr(-1.0, -0.0, 0.0, 0.5), "threshold": 0.0, "tie": "pruned"},
        flags=("BOUNDARY", "EDGE"), conventions=(1,),
    )  # fmt: skip
    group.add(
        8, "mask", "threshold 0, tie='half': zeros are halved",
        {"weight": arr(-1.0, 0.0, 0.5), "threshold": 0.0, "tie": "half"},
        flags=("BOUNDARY",), conventions=(1,),
    )  # fmt: skip
    group.add(
        9, "mask", "|w| = t is pruned",
        {"weight": on, "threshold": 0.5, "tie": "pruned"}, flags=("BOUNDARY",), conventions=(1,),
    )  # fmt: skip
    group.add(
        10, "mask", "|w| = t is halved",
        {"weight": on, "threshold": 0.5, "tie": "half"}, flags=("BOUNDARY",), conventions=(1,),
    )  # fmt: skip
    group.add(
        11, "mask", "all weights on the threshold",
        {"weight": np.full((2, 3), -0.5), "threshold": 0.5, "tie": "pruned"},
        flags=("BOUNDARY", "EDGE"), conventions=(1,),
    )  # fmt: skip
    group.add(
        12, "mask", "an empty weight gives an empty mask",
        {"weight": np.zeros((0, 3)), "threshold": 0.5, "tie": "pruned"}, flags=("EDGE",),
    )  # fmt: skip
    group.add(
        13, "mask", "one weight",
        {"weight": arr(-0.25), "threshold": 0.125, "tie": "pruned"}, flags=("EDGE",),
    )  # fmt: skip
    group.add(
        14, "mask", "one unit in the last place above the threshold is kept",
        {"weight": arr(np.nextafter(0.5, 1), np.nextafter(0.5, 0)), "threshold": 0.5,
         "tie": "pruned"},
        flags=("BOUNDARY",), conventions=(1,),
    )  # fmt: skip
    group.add(
        15, "mask", "float32 in, float32 out",
        lambda draw: {"weight": draw.weights(8).astype(np.float32), "threshold": 0.5 + HALF_STEP,
                      "tie": "pruned"},
        flags=("DTYPE",),
    )  # fmt: skip
    bad = {"weight": arr(0.5, 1.0), "threshold": 0.5, "tie": "pruned"}
    group.reject(90, "mask", "a weight is NaN", bad | {"weight": arr(0.5, NAN)})
    group.reject(91, "mask", "a weight is infinite", bad | {"weight": arr(0.5, -INF)})
    group.reject(92, "mask", "the threshold is negative", bad | {"threshold": -0.25})
    group.reject(93, "mask", "the threshold is NaN", bad | {"threshold": NAN})
    group.reject(94, "mask", "no such tie", bad | {"tie": "kept"})
    return group


def _equation_2() -> Group:
    group = _group(2, "The sparse weight and output", sparse_weight="exact", sparse_output="sum")
    _note_edge(group)

    def product(shape: tuple[int, ...]) -> Any:
        return lambda draw: {"weight": draw.weights(*shape), "mask": draw.coins(*shape)}

    group.add(1, "sparse_weight", "a matrix", product((4, 5)))
    group.add(2, "sparse_weight", "a convolution kernel", product((3, 2, 3, 3)))
    group.add(
        3, "sparse_weight", "masks of one half (tie='half')",
        {"weight": arr(-0.5, 0.5, 0.75), "mask": arr(0.5, 0.5, 1.0)}, conventions=(1,),
    )  # fmt: skip
    group.add(
        4, "sparse_weight", "an empty weight",
        {"weight": np.zeros((0, 2)), "mask": np.zeros((0, 2))}, flags=("EDGE",),
    )  # fmt: skip

    def network(draw: Draw, masks: str) -> dict[str, np.ndarray]:
        make: dict[str, Callable[..., np.ndarray]] = {
            "drawn": draw.coins, "ones": lambda *s: np.ones(s), "zeros": lambda *s: np.zeros(s)
        }  # fmt: skip
        return {
            "images": draw.uniform(2, 2, 5, 5, low=0.0, high=1.0),
            "convolution_weight": draw.weights(3, 2, 3, 3, scale=0.5),
            "linear_weight": draw.weights(4, 3),
            "linear_bias": draw.weights(4),
            "convolution_mask": make[masks](3, 2, 3, 3),
            "linear_mask": make[masks](4, 3),
        }

    group.add(10, "sparse_output", "half of the weights masked", lambda d: network(d, "drawn"))
    group.add(11, "sparse_output", "nothing masked: the dense output", lambda d: network(d, "ones"))
    group.note(
        "BOUNDARY",
        why="A layer that is pruned as a whole gives zeros, on which ReLU has its kink.",
        effect="An empty layer yields NaN where it should hand on its bias.",
    )
    group.add(
        12, "sparse_output", "everything masked: the bias alone remains",
        lambda d: network(d, "zeros"), flags=("BOUNDARY", "EDGE"),
    )  # fmt: skip
    group.reject(
        90, "sparse_weight", "the shapes differ",
        {"weight": np.ones((2, 3)), "mask": np.ones((3, 2))},
    )  # fmt: skip
    return group


def _equation_3() -> Group:
    group = _group(3, "The control loss", control_loss="rounded")
    _note_edge(group)
    group.note(
        "BOUNDARY",
        why="At the target the loss is 0 and its derivative jumps.",
        effect="A run that has reached its target is pushed away from it, or reports a loss.",
    )

    def drawn(layers: int, target: float) -> Any:
        return lambda draw: {
            "rates": draw.uniform(layers, low=0.0, high=1.0),
            "sizes": (draw.uniform(layers, low=1.0, high=60.0) * 16).astype(np.int64),
            "target": target,
        }

    relaxed = {"loss": "sum"}
    group.add(1, "control_loss", "three layers", drawn(3, 0.875), rules=relaxed)
    group.add(2, "control_loss", "thirty layers", drawn(30, 0.9), rules=relaxed)
    group.add(3, "control_loss", "one layer", drawn(1, 0.25), rules=relaxed, flags=("EDGE",))
    group.add(
        4, "control_loss", "weighted by size, not a mean of rates",
        {"rates": arr(0.0, 1.0), "sizes": np.array([1000, 10]), "target": 0.5}, rules=relaxed,
    )  # fmt: skip
    group.add(
        5, "control_loss", "above the target",
        {"rates": arr(1.0, 0.75), "sizes": np.array([4, 12]), "target": 0.5},
    )  # fmt: skip
    group.add(
        6, "control_loss", "on the target",
        {"rates": arr(1.0, 0.5), "sizes": np.array([8, 8]), "target": 0.75},
        flags=("BOUNDARY",), rules={"loss": "exact"},
    )  # fmt: skip
    group.add(
        7, "control_loss", "target 0",
        {"rates": arr(0.5, 0.25), "sizes": np.array([4, 4]), "target": 0.0}, flags=("EDGE",),
    )  # fmt: skip
    _reject_rates(group, "control_loss", {})
    return group


def _reject_rates(group: Group, operation: str, more: dict[str, Any]) -> None:
    good = {"rates": arr(0.5, 0.25), "sizes": np.array([4, 12]), "target": 0.5} | more
    group.reject(90, operation, "a rate above 1", good | {"rates": arr(0.5, 1.25)})
    group.reject(91, operation, "a negative rate", good | {"rates": arr(-0.5, 0.25)})
    group.reject(92, operation, "target 1: nothing would be left", good | {"target": 1.0})
    group.reject(93, operation, "a negative target", good | {"target": -0.25})
    group.reject(94, operation, "fewer sizes than rates", good | {"sizes": np.array([4])})
    group.reject(95, operation, "a rate is NaN", good | {"rates": arr(0.5, NAN)})
    group.reject(
        96, operation, "no layers", good | {"rates": arr(), "sizes": np.array([], dtype=np.int64)}
    )
    group.reject(97, operation, "the target is NaN", good | {"target": NAN})


def _equation_4() -> Group:
    group = _group(
        4, "The reconstruction loss and its gradient",
        reconstruction_loss="transcendental", reconstruction_loss_gradient="transcendental",
    )  # fmt: skip
    _note_edge(group)
    _note_dtype(group)
    group.note(
        "TEMPERATURE",
        why="Both logits are divided by T, the loss is multiplied by its square.",
        effect="L_rec and L_c are weighted differently: the promised rate is missed or the "
        "network hardly learns.",
    )
    group.note(
        "EXTREME",
        why="Logits far apart overflow a softmax that is not shifted by its maximum.",
        effect="NaN losses late in a run, or on confident networks.",
    )
    for first, operation in ((1, "reconstruction_loss"), (31, "reconstruction_loss_gradient")):
        _add_divergences(group, first, operation)
    return group


def _add_divergences(group: Group, first: int, operation: str) -> None:
    def drawn(batch: int, classes: int, temperature: float, scale: float = 2.0) -> Any:
        return lambda draw: {
            "dense_logits": draw.weights(batch, classes, scale=scale),
            "sparse_logits": draw.weights(batch, classes, scale=scale),
            "temperature": temperature,
        }

    same = np.array([[0.5, -1.0, 2.0]])
    far = {"dense_logits": np.array([[50.0, -50.0, 0.0]]),
           "sparse_logits": np.array([[-50.0, 50.0, 1.0]])}  # fmt: skip
    group.add(first, operation, "no temperature", drawn(3, 5, 1.0), conventions=(5,))
    group.add(
        first + 1, operation, "temperature 4, times 16", drawn(3, 5, 4.0),
        flags=("TEMPERATURE",), conventions=(5,),
    )  # fmt: skip
    group.add(
        first + 2, operation, "temperature 0.5", drawn(2, 3, 0.5),
        flags=("TEMPERATURE",), conventions=(5,),
    )  # fmt: skip
    group.add(first + 3, operation, "ten classes", drawn(4, 10, 1.0))
    group.add(first + 4, operation, "one image", drawn(1, 4, 1.0), flags=("EDGE",))
    group.add(
        first + 5, operation, "the same logits: 0",
        {"dense_logits": same, "sparse_logits": same, "temperature": 1.0}, flags=("EDGE",),
    )  # fmt: skip
    group.add(
        first + 6, operation, "one class: nothing to tell apart",
        {"dense_logits": np.array([[1.0], [2.0]]), "sparse_logits": np.array([[3.0], [-2.0]]),
         "temperature": 1.0},
        flags=("EDGE",),
    )  # fmt: skip
    group.add(first + 7, operation, "far apart", far | {"temperature": 1.0}, flags=("EXTREME",))
    group.add(
        first + 8, operation, "a probability that underflows counts as 0",
        {"dense_logits": np.array([[0.0, -2000.0]]), "sparse_logits": np.array([[-2000.0, 0.0]]),
         "temperature": 1.0},
        flags=("EXTREME",),
    )  # fmt: skip
    group.add(
        first + 9, operation, "the teacher comes first: KL is not symmetric",
        {"dense_logits": np.array([[2.0, 0.0]]), "sparse_logits": np.array([[0.0, 0.5]]),
         "temperature": 1.0},
    )  # fmt: skip
    group.add(
        first + 10, operation, "float32 in, float32 out",
        lambda draw: {"dense_logits": draw.weights(2, 3).astype(np.float32),
                      "sparse_logits": draw.weights(2, 3).astype(np.float32), "temperature": 1.0},
        flags=("DTYPE",), rules={"loss": "single", "gradient": "single"},
    )  # fmt: skip
    good = {"dense_logits": same, "sparse_logits": same, "temperature": 1.0}
    group.reject(
        first + 20, operation, "the shapes differ", good | {"sparse_logits": np.ones((1, 2))}
    )
    group.reject(first + 21, operation, "temperature 0", good | {"temperature": 0.0})
    group.reject(first + 22, operation, "a negative temperature", good | {"temperature": -4.0})
    group.reject(
        first + 23, operation, "a logit is NaN",
        good | {"sparse_logits": np.array([[0.5, NAN, 2.0]])},
    )  # fmt: skip
    group.reject(
        first + 24, operation, "no images",
        good | {"dense_logits": np.zeros((0, 3)), "sparse_logits": np.zeros((0, 3))},
    )  # fmt: skip


def _equation_5() -> Group:
    group = _group(5, "The total loss", total_loss="rounded")

    def values(reconstruction: float, control: float, weight: float) -> dict[str, float]:
        return {"reconstruction": reconstruction, "control": control, "control_weight": weight}

    group.add(1, "total_loss", "the plain sum", values(1.375, 0.125, 1.0), conventions=(13,))
    group.add(2, "total_loss", "L_c weighted", values(1.375, 0.125, 0.5), conventions=(13,))
    group.add(3, "total_loss", "L_c without weight", values(0.25, 0.75, 0.0), conventions=(13,))
    group.add(4, "total_loss", "both 0", values(0.0, 0.0, 1.0), rules={"loss": "exact"})
    group.reject(90, "total_loss", "a negative weight", values(1.0, 1.0, -1.0))
    return group


def _equation_7() -> Group:
    group = _group(7, "The gradient by the rate", rate_gradient="exact")

    def drawn(layers: int) -> Any:
        return lambda draw: {
            "dreconstruction_drate": draw.weights(layers),
            "dcontrol_drate": draw.weights(layers),
        }

    group.add(1, "rate_gradient", "three layers", drawn(3))
    group.add(2, "rate_gradient", "one layer", drawn(1))
    group.reject(
        90, "rate_gradient", "different numbers of layers",
        {"dreconstruction_drate": arr(1.0, 2.0), "dcontrol_drate": arr(1.0, 2.0, 3.0)},
    )  # fmt: skip
    return group


def _equation_8() -> Group:
    group = _group(8, "The control loss's gradient by the rates", control_loss_gradient="rounded")
    group.note(
        "BOUNDARY",
        why='At the target the paper says "otherwise", so negative; the derivative of abs is 0.',
        effect="A run exactly on its target keeps pruning, or stops.",
    )

    def drawn(layers: int, target: float, at_target: str) -> Any:
        return lambda draw: {
            "rates": draw.uniform(layers, low=0.5, high=0.75),
            "sizes": (draw.uniform(layers, low=1.0, high=60.0) * 16).astype(np.int64),
            "target": target,
            "at_target": at_target,
        }

    operation = "control_loss_gradient"
    group.add(1, operation, "below the target: negative", drawn(4, 0.9, "negative"))
    group.add(2, operation, "above the target: positive", drawn(4, 0.25, "negative"))
    group.add(3, operation, "at_target='zero' away from it", drawn(3, 0.9, "zero"))
    group.add(4, operation, "thirty layers", drawn(30, 0.9, "negative"))
    group.add(
        5, operation, "a size of 0 has no say",
        {"rates": arr(0.25, 0.5), "sizes": np.array([0, 8]), "target": 0.25,
         "at_target": "negative"},
    )  # fmt: skip
    on = {"rates": arr(1.0, 0.5), "sizes": np.array([8, 8]), "target": 0.75}
    for number, at_target in ((10, "negative"), (11, "zero")):
        group.add(
            number, operation, f"on the target, at_target={at_target!r}",
            on | {"at_target": at_target}, flags=("BOUNDARY",), conventions=(12,),
        )  # fmt: skip
    group.add(
        12, operation, "on a target of 0",
        {"rates": arr(0.0, 0.0), "sizes": np.array([3, 5]), "target": 0.0,
         "at_target": "negative"},
        flags=("BOUNDARY",), conventions=(12,),
    )  # fmt: skip
    third = {"rates": arr(1 / 3, 2 / 3), "sizes": np.array([3, 3]), "target": 0.5}
    uniform = {"rates": np.full(3, 0.9), "sizes": np.array([1, 2, 4]), "target": 0.9}
    for number, comment, inputs in (
        (13, "uniform rates on the target, whatever rounding makes of their sum", uniform),
        (15, "a third and two thirds are on one half but for rounding", third),
        (17, "four epsilons of float32 above the target count as above",
         {"rates": arr(0.5 + 2.0**-19, 0.5), "sizes": np.array([8, 8]), "target": 0.5}),
    ):  # fmt: skip
        for more, at_target in ((0, "negative"), (1, "zero")):
            group.add(
                number + more, operation, f"{comment}, at_target={at_target!r}",
                inputs | {"at_target": at_target}, flags=("BOUNDARY",), conventions=(12,),
            )  # fmt: skip
    _reject_rates(group, operation, {"at_target": "negative"})
    group.reject(98, operation, "no such choice", on | {"at_target": "positive"})
    return group


def _equation_9() -> Group:
    group = _group(
        9, "The reconstruction loss's gradient by the rate",
        reconstruction_rate_gradient="sum", mask_threshold_gradient="exact",
    )  # fmt: skip
    group.note(
        "BOUNDARY",
        why="The surrogate is 1 strictly inside (-1, 1).",
        effect="Layers with magnitudes beyond t + 1 move their thresholds by the wrong amount.",
    )
    group.note(
        "PRUNED",
        why="The gradient is summed over all weights, pruned ones included.",
        effect="Thresholds can only fall: a pruned weight never argues for coming back.",
    )
    _add_mask_gradients(group)
    operation = "reconstruction_rate_gradient"

    def drawn(shape: tuple[int, ...]) -> Any:
        return lambda draw: {
            "dloss_dmask": draw.weights(*shape),
            "dmask_dthreshold": -0.5 * draw.coins(*shape),
            "dthreshold_drate": 1.625,
        }

    group.add(20, operation, "a vector", drawn((9,)), conventions=(3,))
    group.add(21, operation, "a convolution kernel", drawn((3, 2, 3, 3)), conventions=(3,))
    group.add(
        22, operation, "every weight counts, also those whose mask is 0",
        {"dloss_dmask": arr(1.0, 2.0, 4.0, 8.0), "dmask_dthreshold": np.full(4, -0.5),
         "dthreshold_drate": 0.25},
        flags=("PRUNED",), conventions=(3,),
    )  # fmt: skip
    group.reject(
        90, operation, "the shapes differ",
        {"dloss_dmask": np.ones((2, 3)), "dmask_dthreshold": np.ones(6), "dthreshold_drate": 1.0},
    )  # fmt: skip
    return group


def _add_mask_gradients(group: Group) -> None:
    operation = "mask_threshold_gradient"
    group.add(
        1, operation, "small weights: -1/2 everywhere",
        lambda draw: {"weight": draw.weights(3, 4, scale=0.125), "threshold": 0.0625 + HALF_STEP},
        conventions=(2,),
    )  # fmt: skip
    group.add(
        2, operation, "large weights lie outside the clip",
        lambda draw: {"weight": draw.weights(4, 2, 3, 3, scale=1.5), "threshold": 0.5 + HALF_STEP},
        conventions=(2,),
    )  # fmt: skip
    group.add(
        3, operation, "a threshold above 1: small weights lie outside, too",
        {"weight": arr(0.25, 0.75, 2.0, 3.0, -0.25, -2.0), "threshold": 1.5}, conventions=(2,),
    )  # fmt: skip
    group.add(
        4, operation, "|w| - t = 1 and -1 lie outside",
        {"weight": arr(0.5, 2.5, -2.5, 1.5, 2.25), "threshold": 1.5},
        flags=("BOUNDARY",), conventions=(2,),
    )  # fmt: skip
    group.add(
        5, operation, "|w| = t lies inside",
        {"weight": arr(0.5, -0.5), "threshold": 0.5}, flags=("BOUNDARY",), conventions=(2,),
    )  # fmt: skip
    group.add(
        6, operation, "|w| = 1 lies inside for the smallest threshold: no difference is rounded",
        {"weight": arr(1.0, -1.0, 1.5), "threshold": 1e-17}, flags=("BOUNDARY",), conventions=(2,),
    )  # fmt: skip
    group.add(
        7, operation, "t = 1 lies inside for the smallest weights",
        {"weight": arr(1e-17, 0.0, 2.0), "threshold": 1.0}, flags=("BOUNDARY",), conventions=(2,),
    )  # fmt: skip
    group.reject(91, operation, "a weight is NaN", {"weight": arr(NAN, 0.5), "threshold": 0.5})
    group.reject(
        92, operation, "the threshold is negative", {"weight": arr(0.5), "threshold": -0.5}
    )


def _equation_10() -> Group:
    group = _group(
        10, "The rate by the threshold",
        sparsity_rate="rounded", sparsity_rate_integral="transcendental",
    )  # fmt: skip
    _note_edge(group)
    group.note(
        "BOUNDARY",
        why="Whether |w| = t counts as pruned; thresholds are set to weights.",
        effect="The reported rate and the mask disagree by the tied weights.",
    )
    on = arr(-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)

    def drawn(shape: tuple[int, ...], threshold: float, strict: bool) -> Any:
        return lambda draw: {
            "weight": draw.weights(*shape), "threshold": threshold + HALF_STEP, "strict": strict,
        }  # fmt: skip

    count = "sparsity_rate"
    group.add(1, count, "a vector", drawn((30,), 0.5, False))
    group.add(2, count, "a convolution kernel, strict", drawn((4, 2, 3, 3), 1.0, True))
    for number, strict in ((3, False), (4, True)):
        group.add(
            number, count, f"ties, strict={strict}",
            {"weight": on, "threshold": 0.5, "strict": strict},
            flags=("BOUNDARY",), conventions=(9,),
        )  # fmt: skip
        group.add(
            number + 2, count, f"threshold 0, strict={strict}: zeros",
            {"weight": on, "threshold": 0.0, "strict": strict},
            flags=("BOUNDARY",), conventions=(9,),
        )  # fmt: skip
        group.add(
            number + 4, count, f"constant weights on the threshold, strict={strict}",
            {"weight": np.full((2, 2), -0.25), "threshold": 0.25, "strict": strict},
            flags=("BOUNDARY", "EDGE"), conventions=(9,),
        )  # fmt: skip
    group.add(9, count, "nothing pruned", {"weight": arr(1.0, 2.0), "threshold": 0.5,
              "strict": False}, flags=("EDGE",))  # fmt: skip
    group.add(10, count, "everything pruned", {"weight": arr(1.0, 2.0), "threshold": 4.0,
              "strict": False}, flags=("EDGE",))  # fmt: skip
    good = {"weight": on, "threshold": 0.5, "strict": False}
    group.reject(90, count, "an empty layer has no rate", good | {"weight": np.zeros((0, 3))})
    group.reject(91, count, "a weight is NaN", good | {"weight": arr(0.5, NAN)})
    group.reject(92, count, "a negative threshold", good | {"threshold": -0.5})
    _add_integrals(group)
    return group


def _add_integrals(group: Group) -> None:
    operation = "sparsity_rate_integral"

    def drawn(samples: int, threshold: float, bandwidth: float, scale: float) -> Any:
        return lambda draw: {
            "threshold": threshold,
            "samples": draw.weights(samples, scale=scale),
            "bandwidth": bandwidth,
        }

    group.add(40, operation, "seven samples", drawn(7, 0.5, 0.5, 1.0))
    group.add(
        41, operation, "100 samples of a convolution, h = 0.5", drawn(100, 0.0625, 0.5, 0.0625),
        conventions=(10, 11),
    )  # fmt: skip
    group.add(
        42, operation, "100 samples, h half their deviation", drawn(100, 0.0625, 0.03125, 0.0625),
        conventions=(10, 11),
    )  # fmt: skip
    group.add(43, operation, "threshold 0: nothing", drawn(5, 0.0, 0.5, 1.0), flags=("EDGE",))
    group.add(44, operation, "one sample", drawn(1, 0.75, 0.25, 1.0), flags=("EDGE",))
    group.add(45, operation, "everything inside", drawn(5, 40.0, 0.125, 1.0), flags=("EDGE",))
    group.add(
        46, operation, "far in the tail: no cancellation",
        {"threshold": 0.5, "samples": arr(8.0, -8.0), "bandwidth": 1.0}, flags=("EDGE",),
    )  # fmt: skip
    good = {"threshold": 0.5, "samples": arr(0.5, 1.0), "bandwidth": 0.5}
    _reject_kernels(group, operation, good, 60)
    group.reject(65, operation, "a negative threshold", good | {"threshold": -0.5})


def _reject_kernels(group: Group, operation: str, good: dict[str, Any], first: int) -> None:
    group.reject(first, operation, "bandwidth 0", good | {"bandwidth": 0.0})
    group.reject(first + 1, operation, "a negative bandwidth", good | {"bandwidth": -0.5})
    group.reject(first + 2, operation, "no samples", good | {"samples": arr()})
    group.reject(first + 3, operation, "a sample is NaN", good | {"samples": arr(0.5, NAN)})
    group.reject(first + 4, operation, "the bandwidth is NaN", good | {"bandwidth": NAN})


def _equation_11() -> Group:
    group = _group(11, "The rate's derivative by the threshold", rate_threshold_gradient="exact")

    def pair(right: float, left: float) -> dict[str, float]:
        return {"density_at_threshold": right, "density_at_minus_threshold": left}

    operation = "rate_threshold_gradient"
    group.add(1, operation, "both sides count", pair(0.75, 0.5))
    group.add(2, operation, "one side has no weights", pair(0.0, 1.25))
    group.add(3, operation, "neither has", pair(0.0, 0.0))
    return group


def _equation_12() -> Group:
    group = _group(
        12, "The density", density="transcendental", histogram_density="rounded",
    )  # fmt: skip
    _note_edge(group)
    _note_dtype(group)
    group.note(
        "BOUNDARY",
        why="Bins are closed below and open above where a point is looked up, but the greatest "
        "sample is counted in the last bin.",
        effect="Thresholds on a bin edge (initial thresholds are weights) get another density.",
    )

    def drawn(samples: int, points: int, bandwidth: float, scale: float) -> Any:
        return lambda draw: {
            "points": draw.weights(points, scale=scale),
            "samples": draw.weights(samples, scale=scale),
            "bandwidth": bandwidth,
        }

    group.add(1, "density", "seven samples", drawn(7, 5, 0.5, 1.0))
    group.add(2, "density", "100 samples of a convolution, h = 0.5 absolute: flat",
              drawn(100, 6, 0.5, 0.0625), conventions=(10, 11))  # fmt: skip
    group.add(3, "density", "100 samples, h of half their deviation",
              drawn(100, 6, 0.03125, 0.0625), conventions=(10, 11))  # fmt: skip
    group.add(4, "density", "one sample", drawn(1, 3, 0.25, 1.0), flags=("EDGE",))
    group.add(
        5, "density", "constant samples",
        {"points": arr(0.25, 0.5), "samples": np.full(4, 0.25), "bandwidth": 0.125},
        flags=("EDGE",),
    )  # fmt: skip
    group.add(
        6, "density", "a matrix of points",
        lambda draw: {"points": draw.weights(2, 3), "samples": draw.weights(4), "bandwidth": 0.5},
    )  # fmt: skip
    group.add(
        7, "density", "far from all samples",
        {"points": arr(20.0), "samples": arr(-1.0, 1.0), "bandwidth": 1.0}, flags=("EDGE",),
    )  # fmt: skip
    group.add(
        8, "density", "no points", {"points": arr(), "samples": arr(-1.0, 1.0), "bandwidth": 1.0},
        flags=("EDGE",),
    )  # fmt: skip
    group.add(
        9, "density", "float32 in, float32 out",
        lambda draw: {"points": draw.weights(3).astype(np.float32),
                      "samples": draw.weights(5).astype(np.float32), "bandwidth": 0.5},
        flags=("DTYPE",), rules={"density": "single"},
    )  # fmt: skip
    good = {"points": arr(0.5), "samples": arr(0.5, 1.0), "bandwidth": 0.5}
    _reject_kernels(group, "density", good, 90)
    _add_histograms(group)
    return group


def _add_histograms(group: Group) -> None:
    operation = "histogram_density"

    def drawn(samples: int, points: int, bins: int) -> Any:
        return lambda draw: {
            "points": draw.weights(points, scale=0.75),
            "samples": draw.weights(samples),
            "bins": bins,
        }

    edges = arr(-2.0, -1.0, 0.0, 1.0, 2.0)
    group.add(40, operation, "ten bins", drawn(40, 8, 10), conventions=(10,))
    group.add(41, operation, "a hundred bins", drawn(100, 6, 100), conventions=(10,))
    group.add(42, operation, "one bin", drawn(9, 3, 1), conventions=(10,))
    group.add(
        43, operation, "samples on the edges: the greatest in the last bin, others in the upper",
        {"points": arr(-1.5, -0.5, 0.5, 1.5), "samples": edges, "bins": 4},
        flags=("BOUNDARY",), conventions=(10,),
    )  # fmt: skip
    group.add(
        44, operation, "points on the edges: the upper bin; at the greatest sample 0",
        {"points": edges, "samples": arr(-2.0, -1.5, 0.5, 0.75, 1.5, 1.75, 2.0), "bins": 4},
        flags=("BOUNDARY",), conventions=(10,),
    )  # fmt: skip
    group.add(
        45, operation, "outside: 0",
        {"points": arr(-3.0, 3.0, 2.5), "samples": arr(-2.0, 0.5, 2.0), "bins": 4},
        flags=("EDGE",), conventions=(10,),
    )  # fmt: skip
    group.add(
        46, operation, "constant samples: 0 everywhere",
        {"points": arr(0.25, 0.5, 0.0), "samples": np.full(5, 0.25), "bins": 100},
        flags=("BOUNDARY", "EDGE"), conventions=(10,),
    )  # fmt: skip
    group.add(
        47, operation, "one sample is constant, too",
        {"points": arr(0.25), "samples": arr(0.25), "bins": 100},
        flags=("BOUNDARY", "EDGE"), conventions=(10,),
    )  # fmt: skip
    group.add(
        48, operation, "a hundred bins of width 1: every sample on an edge",
        {"points": arr(-50.0, -0.5, 0.0, 49.5, 50.0), "samples": arr(-50.0, -1.0, 0.0, 49.0, 50.0),
         "bins": 100},
        flags=("BOUNDARY",), conventions=(10,),
    )  # fmt: skip
    good = {"points": arr(0.5), "samples": arr(0.5, 1.0), "bins": 10}
    group.reject(70, operation, "no bins", good | {"bins": 0})
    group.reject(71, operation, "no samples", good | {"samples": arr()})
    group.reject(72, operation, "a sample is NaN", good | {"samples": arr(0.5, NAN)})


def _equation_13() -> Group:
    group = _group(
        13, "The control loss's gradient by the thresholds", control_threshold_gradient="exact"
    )

    def drawn(layers: int) -> Any:
        return lambda draw: {
            "dcontrol_drate": draw.uniform(layers, low=-1.0, high=0.0),
            "drate_dthreshold": draw.uniform(layers, low=0.0, high=8.0),
        }

    group.add(1, "control_threshold_gradient", "three layers", drawn(3))
    group.add(2, "control_threshold_gradient", "one layer", drawn(1))
    group.reject(
        90, "control_threshold_gradient", "different numbers of layers",
        {"dcontrol_drate": arr(1.0, 2.0), "drate_dthreshold": arr(1.0, 2.0, 3.0)},
    )  # fmt: skip
    return group


def _equation_14() -> Group:
    group = _group(
        14, "The reconstruction loss's gradient by the threshold",
        reconstruction_threshold_gradient="sum",
    )  # fmt: skip
    group.note(
        "PRUNED",
        why="The gradient is summed over all weights, pruned ones included.",
        effect="Thresholds can only fall: a pruned weight never argues for coming back.",
    )
    operation = "reconstruction_threshold_gradient"

    def drawn(shape: tuple[int, ...]) -> Any:
        return lambda draw: {
            "dloss_dmask": draw.weights(*shape), "dmask_dthreshold": -0.5 * draw.coins(*shape),
        }  # fmt: skip

    group.add(1, operation, "a vector", drawn((9,)), conventions=(3,))
    group.add(2, operation, "a convolution kernel", drawn((3, 2, 3, 3)), conventions=(3,))
    group.add(
        3, operation, "every weight counts, also those whose mask is 0",
        {"dloss_dmask": arr(1.0, 2.0, 4.0, 8.0), "dmask_dthreshold": np.full(4, -0.5)},
        flags=("PRUNED",), conventions=(3,),
    )  # fmt: skip
    group.reject(
        90, operation, "the shapes differ",
        {"dloss_dmask": np.ones((2, 3)), "dmask_dthreshold": np.ones(6)},
    )  # fmt: skip
    return group
