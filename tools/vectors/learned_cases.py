"""The cases of STR, LTP and ProbMask."""

from __future__ import annotations

from typing import Any

import numpy as np

from tools.vectors import learned
from tools.vectors.draw import Draw
from tools.vectors.suite import Group, operations_of

NAN = float("nan")


def make_groups() -> list[Group]:
    """Make the groups of the methods that learn thresholds or masks beside FCPTS."""
    return [_str(), _ltp(), _probmask()]


def _group(name: str, title: str, source: str, **rules: str) -> Group:
    group = Group(name, title, source, operations_of(learned, **rules))
    group.note(
        "EDGE",
        why="Zeros, thresholds of 0, and scores at the ends of [0, 1].",
        effect="NaN or infinity in the first step, or scores that never return from an end.",
    )
    group.note(
        "BOUNDARY",
        why="At |w| = t the soft threshold has a kink; both gradients are 0 there.",
        effect="Weights that are pruned drift, or the threshold has another gradient.",
    )
    group.note(
        "REJECT",
        why="Bad input that computes something would hide the mistake that made it.",
        effect="Scores that are NaN, or a temperature of 0, go through unnoticed.",
    )
    return group


def _str() -> Group:
    group = _group(
        "str", "STR: the soft threshold", "STR (arXiv:2002.03231), docs/methods.md",
        soft_threshold="sum", soft_threshold_gradients="sum",
    )  # fmt: skip
    value, gradients = "soft_threshold", "soft_threshold_gradients"
    edges = {"weight": np.array([-0.5, 0.0, 0.5, 0.25]), "threshold": 0.0}
    kink = {"weight": np.array([-0.5, 0.5, 0.75, -0.25]), "threshold": 0.5}
    up = {"deffective": np.array([1.25, -0.5, 2.0, 0.75])}

    def drawn(scale: float, threshold: float) -> Any:
        return lambda d: {"weight": d.weights(4, 3, scale=scale), "threshold": threshold}

    def with_gradient(inputs: Any) -> Any:
        def make(d: Draw) -> dict[str, Any]:
            given = inputs(d)
            return {**given, "deffective": d.weights(*given["weight"].shape)}

        return make

    for number, comment, inputs in (
        (1, "some weights below the threshold", drawn(1.0, 0.7)),
        (2, "most weights below it", drawn(0.25, 0.4)),
        (3, "all weights below it", drawn(0.125, 3.0)),
        (4, "a convolution's weight",
         lambda d: {"weight": d.weights(3, 2, 3, 3, scale=0.5), "threshold": 0.3}),
    ):  # fmt: skip
        group.add(number, value, comment, inputs)
        group.add(number + 100, gradients, comment, with_gradient(inputs))
    group.add(5, value, "a threshold of 0 changes nothing", edges, flags=("EDGE", "BOUNDARY"))
    group.add(105, gradients, "a threshold of 0", edges | up, flags=("EDGE", "BOUNDARY"))
    group.add(6, value, "weights at the threshold", kink, flags=("BOUNDARY",))
    group.add(106, gradients, "weights at the threshold", kink | up, flags=("BOUNDARY",))
    return group


def _ltp() -> Group:
    group = _group(
        "ltp", "LTP: soft masks of the squares", "LTP (arXiv:2003.00075), docs/methods.md",
        soft_mask_temperature="sum", soft_mask="transcendental", soft_count="sum",
        soft_mask_gradients="transcendental",
    )  # fmt: skip
    heat, mask, gradients = "soft_mask_temperature", "soft_mask", "soft_mask_gradients"
    group.add(1, heat, "by the variance of the magnitudes",
              lambda d: {"weight": d.weights(5, 4), "scale": 0.125})  # fmt: skip
    group.add(2, heat, "a convolution's weight",
              lambda d: {"weight": d.weights(3, 2, 3, 3, scale=0.25), "scale": 0.5})  # fmt: skip
    group.add(3, heat, "weights of one magnitude have temperature 0",
              {"weight": np.array([0.5, -0.5, 0.5]), "scale": 0.5}, flags=("EDGE",))  # fmt: skip

    def drawn(threshold: float, temperature: float, **more: Any) -> Any:
        def make(d: Draw) -> dict[str, Any]:
            inputs = {"weight": d.weights(4, 3), "threshold": threshold, "temperature": temperature}
            return inputs | ({"deffective": d.weights(4, 3)} | more if more else {})

        return make

    for number, (comment, threshold, temperature) in enumerate(
        (
            ("a warm mask", 0.5, 0.5),
            ("a cold mask", 0.25, 0.03125),
            ("a threshold of 0 keeps at least half of every weight", 0.0, 0.25),
        )
    ):
        flags = ("EDGE",) if threshold == 0 else ()
        group.add(11 + number, mask, comment, drawn(threshold, temperature), flags=flags)
        for place, (penalty, exactly) in enumerate(
            ((0.0, False), (1.5, False), (0.0, True), (1.5, True))
        ):
            text = f"{comment}; penalty {penalty:g}, {'exact' if exactly else 'as published'}"
            inputs = drawn(threshold, temperature, penalty=penalty, exact_gradient=exactly)
            group.add(101 + 10 * number + place, gradients, text, inputs, flags=flags)
    group.add(21, "soft_count", "the sum of a mask",
              lambda d: {"mask": d.uniform(4, 5, low=0, high=1)})  # fmt: skip
    for number, temperature in ((200, 0.0), (201, -1.0), (202, NAN)):
        group.reject(number, mask, f"a temperature of {temperature:g}",
                     {"weight": np.array([0.5, 1.0]), "threshold": 0.25,
                      "temperature": temperature})  # fmt: skip
    return group


def _probmask() -> Group:
    group = _group(
        "probmask", "ProbMask: relaxed draws and the projection of scores",
        "ProbMask (arXiv:2102.07107), docs/methods.md",
        logistic_noise="transcendental", relaxed_mask="transcendental",
        relaxed_mask_gradient="transcendental", project_scores="sum", cubic_density="sum",
        falling_temperature="rounded",
    )  # fmt: skip
    group.add(1, "logistic_noise", "from uniform numbers",
              lambda d: {"uniform": d.uniform(3, 4, low=0, high=1)})  # fmt: skip
    mask, gradient = "relaxed_mask", "relaxed_mask_gradient"
    ends = {"scores": np.array([0.0, 1.0, 0.5, 0.25]), "noise": np.array([0.5, -0.5, 1.0, -2.0]),
            "temperature": 1.0}  # fmt: skip

    def drawn(temperature: float, upstream: bool) -> Any:
        def make(d: Draw) -> dict[str, Any]:
            inputs = {"scores": d.uniform(4, 3, low=0.0625, high=0.9375), "noise": d.weights(4, 3),
                      "temperature": temperature}  # fmt: skip
            return inputs | ({"dmask": d.weights(4, 3)} if upstream else {})

        return make

    for number, temperature in enumerate((1.0, 0.5, 0.125), start=11):
        comment = f"temperature {temperature:g}"
        group.add(number, mask, comment, drawn(temperature, False))
        group.add(number + 100, gradient, comment, drawn(temperature, True))
    group.note(
        "COLD",
        why="At a low temperature most masks are 0 or 1 to the last digit, and their gradient 0; "
        "here the noise nearly cancels the logits, so that the masks lie between.",
        effect="A gradient at a clipped or forgotten temperature passes the other cases.",
    )

    def near_the_middle(temperature: float, upstream: bool) -> Any:
        """Noise with which the masks' logits lie between -3 and 3 at any temperature."""

        def make(d: Draw) -> dict[str, Any]:
            scores = d.uniform(4, 3, low=0.0625, high=0.9375)
            wanted = d.uniform(4, 3, low=-3, high=3)
            noise = temperature * wanted - (np.log(scores) - np.log1p(-scores))
            inputs = {"scores": scores, "noise": noise.astype(np.float32).astype(np.float64),
                      "temperature": temperature}  # fmt: skip
            return inputs | ({"dmask": d.weights(4, 3)} if upstream else {})

        return make

    for number, temperature in enumerate((8.0, 0.125, 2.0**-7, 2.0**-10), start=15):
        comment = f"temperature {temperature:g}, masks between 0.05 and 0.95"
        group.add(number, mask, comment, near_the_middle(temperature, False), flags=("COLD",))
        group.add(number + 100, gradient, comment, near_the_middle(temperature, True),
                  flags=("COLD",))  # fmt: skip
    group.add(14, mask, "scores at the ends", ends, flags=("EDGE",), rules={"mask": "ends"})
    group.add(114, gradient, "scores at the ends have the gradient at the margin",
              ends | {"dmask": np.array([1.0, -2.0, 0.5, 1.5])}, flags=("EDGE",),
              rules={"dscores": "ends"})  # fmt: skip
    for number, temperature in ((200, 0.0), (201, -1.0), (202, NAN)):
        group.reject(number, mask, f"a temperature of {temperature:g}",
                     ends | {"temperature": temperature})  # fmt: skip

    def layers(low: float, high: float, count: float) -> Any:
        return lambda d: {"scores": [d.uniform(4, 3, low=low, high=high),
                                     d.uniform(7, low=low, high=high)], "count": count}  # fmt: skip

    projection = "project_scores"
    for number, comment, inputs, flags in (
        (31, "half of two layers", layers(0, 1, 6.5), ()),
        (32, "scores on both sides of the box", layers(-1, 2, 5.0), ()),
        (33, "a budget that is met already: only clipped", layers(-0.5, 0.5, 18.0), ()),
        (34, "all scores are 1, as they begin",
         {"scores": [np.ones((2, 3)), np.ones(4)], "count": 2.5}, ()),
        (35, "a count of 0", layers(0, 1, 0.0), ("EDGE",)),
        (36, "scores that are all below 0", layers(-2, -0.5, 3.0), ("EDGE",)),
        (37, "a few scores stay at 1",
         {"scores": [np.array([3.0, 2.5, 0.5, 0.25]), np.array([0.75, -1.0])], "count": 2.5}, ()),
    ):  # fmt: skip
        group.add(number, projection, comment, inputs, flags=flags)
    good = {"scores": [np.array([0.5, 0.25])], "count": 1.0}
    group.reject(210, projection, "a negative count", good | {"count": -1.0})
    group.reject(211, projection, "a score is NaN", good | {"scores": [np.array([0.5, NAN])]})
    for number, progress in enumerate((0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0), start=41):
        group.add(number, "cubic_density", f"at {progress:g} of the run, between 1/8 and 1/2",
                  {"progress": progress, "final": 0.125, "start": 0.125, "stop": 0.5})  # fmt: skip
    for number, progress in enumerate((0.0, 0.5, 1.0), start=51):
        group.add(number, "falling_temperature", f"at {progress:g} of the run",
                  {"progress": progress, "last": 0.03125})  # fmt: skip
    return group
