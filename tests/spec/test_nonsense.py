"""Nonsense in place of any argument is refused with InputError, in both engines, never computed."""

from __future__ import annotations

import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.pruning.arithmetic import arithmetic
from fcpts_ref.spec import allocation, budget, equations, optim

W = np.array([0.5, -1.0, 0.25])
LOGITS = np.array([[1.0, 2.0], [0.5, -1.0]])
SGD = {"parameter": W, "gradient": W, "velocity": W, "learning_rate": 0.1}
CALLS = {
    equations.mask: {"weight": W, "threshold": 0.5, "tie": "half"},
    equations.sparse_weight: {"weight": W, "mask": W},
    equations.control_loss: {"rates": np.array([0.5]), "sizes": np.array([4]), "target": 0.5},
    equations.reconstruction_loss: {
        "dense_logits": LOGITS, "sparse_logits": LOGITS, "temperature": 2.0},
    equations.reconstruction_loss_gradient: {
        "dense_logits": LOGITS, "sparse_logits": LOGITS, "temperature": 2.0},
    equations.total_loss: {"reconstruction": 1.0, "control": 0.5, "control_weight": 1.0},
    equations.rate_gradient: {"dreconstruction_drate": W, "dcontrol_drate": W},
    equations.control_loss_gradient: {
        "rates": np.array([0.5]), "sizes": np.array([4]), "target": 0.5, "at_target": "zero"},
    equations.reconstruction_rate_gradient: {
        "dloss_dmask": W, "dmask_dthreshold": W, "dthreshold_drate": 1.0},
    equations.mask_threshold_gradient: {"weight": W, "threshold": 0.5},
    equations.sparsity_rate: {"weight": W, "threshold": 0.5},
    equations.sparsity_rate_integral: {"threshold": 0.5, "samples": W, "bandwidth": 0.5},
    equations.rate_threshold_gradient: {
        "density_at_threshold": 0.5, "density_at_minus_threshold": 0.25},
    equations.density: {"points": W, "samples": W, "bandwidth": 0.5},
    equations.histogram_density: {"points": W, "samples": W, "bins": 4},
    equations.control_threshold_gradient: {"dcontrol_drate": W, "drate_dthreshold": W},
    equations.reconstruction_threshold_gradient: {"dloss_dmask": W, "dmask_dthreshold": W},
    optim.sgd_step: SGD,
    optim.adam_step: {
        "parameter": W, "gradient": W, "first": W, "second": W * W, "step": 1,
        "learning_rate": 0.1},
    optim.warmup_cosine: {"step": 1, "steps": 4, "warmup": 2},
    budget.budget: {"target": 0.5, "size": 10},
    budget.threshold_of_count: {"weight": W, "count": 1},
    budget.mask_of_count: {"weight": W, "count": 1},
    budget.projection_factor: {"weights": [W], "thresholds": np.array([0.5]), "count": 1},
    budget.exact_masks: {"weights": {"a": W}, "thresholds": {"a": 0.5}, "count": 1},
    allocation.allocate: {"name": "erk", "weights": {"a": W}, "target": 0.5},
}  # fmt: skip
NONSENSE = [
    None,
    "text",
    b"bytes",
    object(),
    1 + 2j,
    {},
    [[1.0], [1.0, 2.0]],
    len,
    np.datetime64(0, "s"),
]
EMPTY = {"weights": [{}], "thresholds": [{}]}


def twins():
    """The functions that the fast engine has too, with the same arguments."""
    fast, plain = arithmetic("numba"), arithmetic("numpy")
    arguments = {
        "masked_weight": {"weight": W, "threshold": 0.5},
        "threshold_gradient": {"weight": W, "threshold": 0.5, "dsparse_weight": W},
        "density": CALLS[equations.density],
        "histogram_density": CALLS[equations.histogram_density],
        "sgd_step": SGD,
        "projection_factor": CALLS[budget.projection_factor],
    }
    for name, given in arguments.items():
        for engine, functions in (("numba", fast), ("numpy", plain)):
            yield pytest.param(getattr(functions, name), given, id=f"{engine} {name}")


@pytest.mark.parametrize(
    ("function", "given"),
    [*(pytest.param(f, a, id=f.__name__) for f, a in CALLS.items()), *twins()],
)
def test_nonsense_is_refused(function, given):
    function(**given)  # the arguments themselves are right
    for name in given:
        for nonsense in NONSENSE:
            with pytest.raises(InputError):  # else it was computed
                function(**given | {name: nonsense})


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, ">f4", ">f8"])
def test_the_engines_return_the_dtype_of_the_weights(engine, dtype):
    functions, w = arithmetic(engine), W.astype(dtype)
    native = np.dtype(dtype).newbyteorder("=")
    masked, mask, _ = functions.masked_weight(w, 0.5)
    assert masked.dtype == mask.dtype == native
    for density in (functions.density(w, w, 0.5), functions.histogram_density(w, w, bins=4)):
        assert density.dtype == native


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_a_layer_without_weights_is_refused_by_both_engines(engine):
    with pytest.raises(InputError, match="empty"):
        arithmetic(engine).masked_weight(np.zeros((0, 3)), 0.5)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("weights", "thresholds", "count"),
    [
        ([np.array([np.nan, 1.0])], [1.0], 1),
        ([W], [-1.0], 1),
        ([W], [np.nan], 1),
        ([W], [1.0, 2.0], 1),
        ([W], [1.0], 1.5),
        ([W], [1.0], 3),
    ],
)
def test_a_projection_of_bad_numbers_is_refused(engine, weights, thresholds, count):
    with pytest.raises(InputError):
        arithmetic(engine).projection_factor(weights, np.array(thresholds), count)
