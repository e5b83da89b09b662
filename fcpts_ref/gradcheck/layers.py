"""Gradient checks of every layer of the package, and their table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fcpts_ref import layers
from fcpts_ref.errors import counted
from fcpts_ref.gradcheck.numeric import check_gradients
from fcpts_ref.gradcheck.pair import Finding, Pair

Example = tuple[Pair, list[Any], tuple[str, ...]]
ANALYTIC = ("adjoint", "complex", "jacobian")
UNEVEN = {"kernel": (2, 3), "stride": 2, "padding": (1, 0, 0, 1), "ceil_mode": True}


def _pair(name: str, inputs: tuple[str, ...], *, mode: str = "", **details: Any) -> Pair:
    forward, backward = (getattr(layers, f"{name}_{way}") for way in ("forward", "backward"))
    return Pair(f"{name} {mode}".strip(), forward, backward, inputs, **details)


def make_examples(seed: int = 0) -> list[Example]:
    """Return a small example of every layer: the pair, its inputs, the methods that apply."""
    draw = np.random.default_rng(seed).standard_normal
    return [
        *_weighted(draw),
        *_batch_norms(draw, np.random.default_rng(seed + 1)),
        *_kinked(draw),
        *_smooth(draw),
        *_shapes(draw),
        *_arithmetic(draw),
        *_moved(draw),
        *_tokens(draw),
        *_losses(draw, np.random.default_rng(seed + 2)),
    ]


def _weighted(draw: Any) -> list[Example]:
    names = ("x", "weight", "bias")
    plain = {"stride": (1, 1), "padding": (1, 1)}
    strided = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
    depthwise = {"padding": (1, 1), "groups": 3}
    uneven = {"padding": (0, 1, 2, 0)}
    return [
        (_pair("convolution", names, settings=plain),
         [draw((2, 2, 4, 4)), draw((3, 2, 3, 3)), draw(3)], ANALYTIC),
        (_pair("convolution", names, settings=strided),
         [draw((1, 4, 6, 5)), draw((2, 2, 3, 2)), draw(2)], ANALYTIC),
        (_pair("convolution", names, settings=depthwise),
         [draw((1, 3, 3, 3)), draw((3, 1, 3, 3)), draw(3)], ANALYTIC),
        (_pair("convolution", names, mode="uneven", settings=uneven),
         [draw((1, 2, 3, 4)), draw((2, 2, 3, 3)), draw(2)], ANALYTIC),
        (_pair("linear", names), [draw((3, 4)), draw((2, 4)), draw(2)], ANALYTIC),
    ]  # fmt: skip


def _batch_norms(draw: Any, generator: np.random.Generator) -> list[Example]:
    names = ("x", "gamma", "beta", "running_mean", "running_var")
    examples: list[Example] = []
    for training in (True, False):
        pair = _pair(
            "batch_norm",
            names,
            mode="training" if training else "evaluation",
            settings={"training": training},
            output=0,
            constant=("running_mean", "running_var"),
        )
        statistics = [draw(2), generator.uniform(0.5, 2.0, 2)]
        examples.append((pair, [draw((3, 2, 2, 2)), draw(2), draw(2), *statistics], ANALYTIC))
    return examples


def _kinked(draw: Any) -> list[Example]:
    window = {"kernel": (2, 2), "stride": (1, 1)}
    distinct = np.random.default_rng(0).permutation(32).reshape(1, 2, 4, 4) / 8.0  # no ties
    return [
        (_pair("relu", ("x",), kinks={"x": (0.0,)}), [draw((2, 2, 3, 3))], ANALYTIC),
        (_pair("relu6", ("x",), kinks={"x": (0.0, 6.0)}), [4 * draw((2, 2, 3, 3)) + 3], ANALYTIC),
        (_pair("clip", ("x",), settings={"low": -0.5, "high": 1.0}, kinks={"x": (-0.5, 1.0)}),
         [draw((2, 2, 3, 3))], ANALYTIC),
        (_pair("leaky_relu", ("x",), kinks={"x": (0.0,)}), [draw((2, 2, 3, 3))], ANALYTIC),
        (_pair("hard_sigmoid", ("x",), kinks={"x": (-3.0, 3.0)}), [3 * draw((2, 2, 3, 3))],
         ANALYTIC),
        (_pair("hard_swish", ("x",), kinks={"x": (-3.0, 3.0)}), [3 * draw((2, 2, 3, 3))],
         ANALYTIC),
        (_pair("max_pool", ("x",), settings=window), [distinct], ("adjoint", "jacobian")),
        (_pair("max_pool", ("x",), mode="ceil_mode", settings=UNEVEN), [distinct],
         ("adjoint", "jacobian")),
    ]  # fmt: skip


def _smooth(draw: Any) -> list[Example]:
    tanh = {"approximate": "tanh"}
    return [
        *((_pair(name, ("x",)), [3 * draw((2, 2, 3, 3))], ANALYTIC)
          for name in ("sigmoid", "tanh", "silu", "gelu", "dropout")),
        (_pair("gelu", ("x",), mode="tanh", settings=tanh), [3 * draw((2, 2, 3, 3))], ANALYTIC),
    ]  # fmt: skip


def _arithmetic(draw: Any) -> list[Example]:
    away = np.random.default_rng(1).uniform(0.5, 2.0, (2, 3, 1, 1))  # from a division by 0
    return [
        (_pair("add", ("a", "b")), [draw((2, 3)), draw((2, 3))], ANALYTIC),
        (_pair("subtract", ("a", "b")), [draw((2, 3, 2, 2)), draw((2, 2))], ANALYTIC),
        (_pair("multiply", ("a", "b")), [draw((2, 3, 1, 1)), draw((2, 3, 2, 2))], ANALYTIC),
        (_pair("divide", ("a", "b")), [draw((2, 3, 2, 2)), away], ANALYTIC),
    ]


def _moved(draw: Any) -> list[Example]:
    taken, pads = {"axis": 1, "start": -1, "stop": 0, "step": -2}, {"pads": (0, 1, 2, 1, 0, 3)}
    bilinear = {"size": (5, 2), "mode": "bilinear"}
    return [
        (_pair("concat", ("a", "b"), settings={"axis": 0}),
         [draw((1, 2, 2, 2)), draw((1, 3, 2, 2))], ANALYTIC),
        (_pair("slice", ("x",), settings=taken), [draw((1, 2, 5, 2))], ANALYTIC),
        (_pair("pad", ("x",), settings=pads | {"value": 0.5}), [draw((1, 2, 2, 2))], ANALYTIC),
        (_pair("resize", ("x",), mode="nearest", settings={"size": (5, 2)}),
         [draw((1, 2, 3, 4))], ANALYTIC),
        (_pair("resize", ("x",), mode="bilinear", settings=bilinear), [draw((1, 2, 3, 4))],
         ANALYTIC),
    ]  # fmt: skip


def _shapes(draw: Any) -> list[Example]:
    window = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1)}
    return [
        (_pair("average_pool", ("x",), settings=window), [draw((1, 2, 5, 4))], ANALYTIC),
        (_pair("global_average_pool", ("x",)), [draw((2, 3, 2, 3))], ANALYTIC),
        (_pair("subsample", ("x",), settings={"stride": 2}), [draw((1, 2, 5, 4))], ANALYTIC),
        (_pair("zero_pad", ("x",), settings={"before": 1, "after": 2}), [draw((1, 2, 2, 2))],
         ANALYTIC),
        (_pair("average_pool", ("x",), mode="ceil_mode",
               settings=UNEVEN | {"count_include_pad": False}), [draw((1, 2, 4, 4))], ANALYTIC),
        (_pair("mean", ("x",), settings={"axes": (0, -1)}), [draw((2, 3, 2, 3))], ANALYTIC),
        (_pair("flatten", ("x",)), [draw((2, 3, 2, 2))], ANALYTIC),
        (_pair("normalise", ("x", "mean", "std"), constant=("mean", "std")),
         [draw((1, 2, 2, 2)), draw(2), np.array([0.5, 2.0])], ANALYTIC),
    ]  # fmt: skip


def _tokens(draw: Any) -> list[Example]:
    shaped, heads = {"shape": (2, 3), "epsilon": 1e-3}, {"heads": 2}
    return [
        (_pair("matmul", ("a", "b")), [draw((2, 3, 2, 4)), draw((2, 4, 3))], ANALYTIC),
        (_pair("reshape", ("x",), settings={"shape": (3, -1)}), [draw((2, 2, 3, 2))], ANALYTIC),
        (_pair("transpose", ("x",), settings={"permutation": (1, 2, 0)}), [draw((2, 2, 3, 2))],
         ANALYTIC),
        (_pair("layer_norm", ("x", "gamma", "beta"), settings=shaped),
         [draw((2, 2, 2, 3)), draw((2, 3)), draw((2, 3))], ANALYTIC),
        (_pair("attention", ("q", "k", "v"), settings=heads),
         [draw((2, 3, 4)), draw((2, 2, 4)), draw((2, 2, 6))], ANALYTIC),
        (_pair("class_token", ("x", "token")), [draw((2, 3, 4)), draw(4)], ANALYTIC),
        (_pair("add_parameter", ("x", "parameter")), [draw((2, 3, 4)), draw((3, 1))], ANALYTIC),
        (_pair("multiply_parameter", ("x", "parameter")), [draw((2, 4)), draw((3, 4))], ANALYTIC),
    ]  # fmt: skip


def _losses(draw: Any, generator: np.random.Generator) -> list[Example]:
    labels = generator.integers(0, 5, 3)
    settings = {"temperature": 4.0}
    return [
        (_pair("softmax", ("x",)), [draw((3, 5))], ANALYTIC),
        (_pair("log_softmax", ("x",)), [draw((3, 5))], ANALYTIC),
        (_pair("cross_entropy", ("logits", "labels")), [draw((3, 5)), labels], ANALYTIC),
        (_pair("kl_divergence", ("dense_logits", "sparse_logits"), settings=settings),
         [draw((3, 5)), draw((3, 5))], ANALYTIC),
    ]  # fmt: skip


def check_all_layers(*, seed: int = 0, directions: int = 3) -> list[Finding]:
    """Run every applicable check of every layer."""
    findings: list[Finding] = []
    for pair, inputs, methods in make_examples(seed):
        findings += check_gradients(pair, inputs, methods=methods, directions=directions, seed=seed)
    return findings


def format_json(findings: Sequence[Finding]) -> str:
    """Format every comparison as JSON; numbers that are not finite are "nan", "inf" and "-inf"."""
    entries = [
        {k: _encode(v) for k, v in vars(finding).items()} | {"ok": finding.ok}
        for finding in findings
    ]
    ok = bool(findings) and all(finding.ok for finding in findings)
    content = {"format": "fcpts-gradcheck/1", "ok": ok, "comparisons": entries}
    return json.dumps(content, indent=1, allow_nan=False)


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value


def format_table(findings: Sequence[Finding]) -> str:
    """Format one row per layer, input and method with the worst relative error; then failures."""
    rows: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        if finding.method == "form" and finding.ok:
            continue
        key = (finding.pair, finding.input, finding.method)
        if key not in rows or not finding.error <= rows[key].error:
            rows[key] = finding
    lines = [f"{'layer':<22} {'input':<14} {'check':<9} {'error':>9} {'tolerance':>9}"]
    lines += [_row(finding) for finding in rows.values()]
    failed = [str(finding) for finding in findings if not finding.ok]
    verdict = f"{counted(len(findings), 'comparison')}, {len(failed)} failed"
    return "\n".join([*lines, *failed, verdict])


def _row(finding: Finding) -> str:
    numbers = f"{finding.error:>9.1e} {finding.tolerance:>9.1e}"
    if finding.message:  # nothing was compared
        numbers = f"{'-':>9} {'-':>9}"
    verdict = "ok" if finding.ok else "WRONG"
    return f"{finding.pair:<22} {finding.input:<14} {finding.method:<9} {numbers}  {verdict}"
