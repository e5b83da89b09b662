"""One step of FCPTS: the loop body of Algorithm 1, in its order and in the terms of the equations.

Layers are counted in the order of the graph: thresholds, rates and sizes are (L,) arrays, and
thresholds are always float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fcpts_ref.engines.base import WeightGradient
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.execution import Observe, observed
from fcpts_ref.objectives.make import make_objective
from fcpts_ref.pruning.arithmetic import spread
from fcpts_ref.pruning.micro_batches import accumulated, is_accumulated
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.units import SINGLE_WEIGHTS
from fcpts_ref.spec import equations
from fcpts_ref.spec.allocation import Allocation
from fcpts_ref.spec.bounds import bounded_thresholds, clip_thresholds
from fcpts_ref.spec.budget import threshold_of_count
from fcpts_ref.spec.conventions import SIGMOID_FLOOR, Conventions
from fcpts_ref.spec.optim import sgd_move
from fcpts_ref.spec.regrowth import straight_through_gradient

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Control = Literal["loss", "projection"]


@dataclass(frozen=True)
class State:
    """Everything that a step changes; parameters, buffers and velocities by name."""

    step: int
    parameters: Arrays
    buffers: Arrays
    velocities: Arrays
    threshold_parameters: Array  # (L,) float64: t, or s with t = sigmoid(s) (convention 7)
    threshold_velocities: Array  # (L,) float64
    allocation: Allocation
    history: Mapping[str, Array] = field(default_factory=dict)
    views: Mapping[str, Array] = field(default_factory=dict)  # cached views and dense outputs


def draw_samples(
    sizes: list[int], conventions: Conventions, generator: np.random.Generator
) -> list[Array]:
    """Draw the indices of each layer's sample for Equation 12, with replacement."""
    if conventions.density == "histogram":  # uses all weights
        return [np.arange(0) for _ in sizes]
    return [generator.integers(0, size, conventions.density_samples) for size in sizes]


def step(
    problem: Problem,
    state: State,
    images: Array,
    samples: list[Array],
    conventions: Conventions,
    *,
    control: Control = "loss",
    learn_rates: bool = True,
    rate_factor: float = 1.0,
    dense: Arrays | None = None,
    micro_batch: int | None = None,
    observe: Observe | None = None,
) -> tuple[State, dict[str, Any]]:
    """Compute one step of Algorithm 1 on a batch of images (B, C, H, W).

    samples: the weights drawn for Eq. 12 (``draw_samples``); rate_factor: on both learning rates;
    dense: the dense network's outputs (B, ...) if known, for which its batch norm must evaluate.
    micro_batch: images that are run at a time, default all (``micro_batches``); what passes between
    forward and backward is then not observed.  Engines that divide batches have their own.
    ``observe(name, value)`` is called with every quantity in the order in which it is computed, and
    may return another value, with which the step then continues.
    Returns the new state and the step's numbers.
    """
    see = partial(observed, observe)
    names = problem.prunable
    W = {name: state.parameters[name] for name in names}
    U = {name: problem.unit.magnitudes(w) for name, w in W.items()}  # the units' magnitudes
    N = problem.totals
    t = see("thresholds", thresholds_of(state.threshold_parameters, conventions))  # (L,)

    # 1. Forward propagation
    sparse, M, r = {}, {}, np.empty_like(t)
    for i, name in enumerate(names):  # Equations 2, 1 and 10
        masked, mask, r[i] = _masked_weight(problem, W[name], U[name], t[i], conventions)
        M[name] = see(f"mask/{name}", mask)
        if M[name] is not mask:
            masked = equations.sparse_weight(W[name], M[name])
        sparse[name] = see(f"sparse_weight/{name}", masked)
    wanted: WeightGradient = "all" if conventions.uses_pruned_gradients else "kept"
    objective = make_objective(conventions, problem.network.graph)
    teacher_trains = conventions.teacher_batch_norm == "training"
    divided = is_accumulated(problem, micro_batch, images)
    if divided:
        L_rec, gradients = accumulated(
            problem,
            {**state.parameters, **sparse},
            state.buffers,
            images,
            dense or (lambda part: problem.dense_on(part, training=teacher_trains)),
            objective,
            micro_batch=micro_batch or len(images),
            weight_gradient=wanted,
        )
        buffers = dict(state.buffers)
    else:
        if dense is None:
            dense = problem.dense_on(images, training=teacher_trains)
        passed = problem.student.forward(
            {**state.parameters, **sparse},
            state.buffers,
            {problem.network.graph.input: images},
            training=conventions.student_batch_norm == "training",
            keep=True,
            sparse=True,
        )
        compared = objective.outputs(problem.network.graph)
        dense_outputs = {name: see(f"dense_{name}", dense[name]) for name in compared}
        sparse_outputs = {name: see(f"sparse_{name}", passed.outputs[name]) for name in compared}
        L_rec, doutputs = objective.loss_and_gradients(dense_outputs, sparse_outputs)  # Equation 4
    L_rec, r = see("reconstruction_loss", L_rec), see("rates", r)
    L_c = see("control_loss", equations.control_loss(r, N, problem.target))
    L = equations.total_loss(L_rec, L_c, control_weight=conventions.control_weight)
    L = see("total_loss", L)

    # 2. Backward propagation
    if not divided:
        doutputs = {name: see(f"dsparse_{name}", doutput) for name, doutput in doutputs.items()}
        gradients = problem.student.backward(passed, doutputs, weight_gradient=wanted)
        buffers = dict(passed.buffers)
        del passed
    del sparse  # large networks: nothing is held that the descent does not read
    dt = np.zeros_like(t)
    if learn_rates:
        if control == "loss":
            dt = dt + _control_part(problem, U, t, r, N, samples, conventions, see)
        if conventions.reconstruction_moves_thresholds:  # convention 3
            dt = dt + _reconstruction_part(problem, W, U, t, gradients, observe)
        dt = see("dthreshold", dt)
    for name, dW in _weight_gradients(W, t, M, gradients, names, conventions, see):
        gradients[name] = dW
    del M

    # 3. Gradient descent
    new = _descend(problem, state, gradients, dt, t, conventions, rate_factor, see)
    new = _controlled(new, problem, conventions, control, learn_rates)
    new = replace(new, buffers=buffers)
    see("new_thresholds", thresholds_of(new.threshold_parameters, conventions))
    record = {
        "reconstruction_loss": float(L_rec),
        "control_loss": float(L_c),
        "total_loss": float(L),
        "global_rate": float((r * N).sum() / N.sum()),
        "rates": r,
        "thresholds": t,
        "learning_rate_factor": rate_factor,
    }
    return new, record


def thresholds_of(parameters: Array, conventions: Conventions) -> Array:
    """Return the thresholds t (L,) of the learned parameters: t, or sigmoid(s) (convention 7)."""
    if conventions.threshold_parameter == "sigmoid":
        return np.asarray(expit(parameters))
    return parameters


def parameter_of(t: Array, conventions: Conventions) -> Array:
    """Return the learned parameters of thresholds t: t, or s = logit(t), at least SIGMOID_FLOOR.

    Raises InputError for a threshold that no sigmoid reaches.
    """
    if conventions.threshold_parameter == "threshold":
        return t
    if (t >= 1).any():
        raise InputError(
            f"a layer needs a threshold of {t.max():.3g}, and sigmoid(s) stays below 1; use "
            "threshold_parameter='threshold' for weights this large"
        )
    with np.errstate(divide="ignore"):
        return np.asarray(np.maximum(np.log(t) - np.log1p(-t), SIGMOID_FLOOR))


def thresholds_at(
    weights: Arrays, rates: Mapping[str, float], initial_threshold: str = "pruned"
) -> list[float]:
    """Return every layer's threshold at its rate (convention 8).

    initial_threshold: "pruned" for its largest pruned magnitude, at the rank round(rate N);
    "rounded down" for the rank int(rate N), and the smallest magnitude where that is 0.
    """
    if initial_threshold == "rounded down":
        counts = {n: max(int(rates[n] * w.size), 1) for n, w in weights.items()}
    else:
        counts = {n: round(rates[n] * w.size) for n, w in weights.items()}
    return [threshold_of_count(w, counts[name]) for name, w in weights.items()]


def _masked_weight(
    problem: Problem, W: Array, U: Array, t: float, conventions: Conventions
) -> tuple[Array, Array, float]:
    """Return Equations 2, 1 and 10 for a layer; the mask of a unit covers all its weights."""
    masked = problem.arithmetic.masked_weight
    given = {"tie": conventions.tie, "strict": conventions.strict_rate}
    if problem.unit is SINGLE_WEIGHTS:
        return masked(W, t, **given)
    _, kept, r = masked(U, t, **given)
    M = problem.unit.expand(kept, W.shape)
    return equations.sparse_weight(W, M), M, r


def _control_part(
    problem: Problem,
    U: Arrays,
    t: Array,
    r: Array,
    N: Array,
    samples: list[Array],
    conventions: Conventions,
    see: Observe,
) -> Array:
    """Return dL_c/dt (L,), Equation 13: Equation 8 times Equation 11, weighted (convention 13)."""
    p = np.array(
        [densities(problem, w, t[i], samples[i], conventions) for i, w in enumerate(U.values())]
    )
    p = see("densities", p)  # (L, 2): p(t), p(-t)
    dr_dt = see("drate_dthreshold", equations.rate_threshold_gradient(p[:, 0], p[:, 1]))
    dLc_dr = equations.control_loss_gradient(r, N, problem.target, at_target=conventions.at_target)
    dLc_dr = see("dcontrol_drate", dLc_dr)
    dLc_dt = see("dcontrol_dthreshold", equations.control_threshold_gradient(dLc_dr, dr_dt))
    return conventions.control_weight * np.asarray(dLc_dt)


def _reconstruction_part(
    problem: Problem,
    W: Arrays,
    U: Arrays,
    t: Array,
    gradients: Arrays,
    observe: Observe | None,
) -> Array:
    """Return dL_rec/dt (L,), Equation 14, summed over the units of each layer."""
    dLrec_dt = np.empty_like(t)
    for i, (name, w) in enumerate(W.items()):
        if problem.unit is SINGLE_WEIGHTS and observe is None:
            dLrec_dt[i] = problem.arithmetic.threshold_gradient(w, t[i], gradients[name])
        else:
            dM = problem.unit.total(gradients[name] * w)  # (units,)
            dM_dt = equations.mask_threshold_gradient(U[name], t[i])
            dM_dt = observed(observe, f"dmask_dthreshold/{name}", dM_dt)
            dM = observed(observe, f"dmask/{name}", dM)
            dLrec_dt[i] = equations.reconstruction_threshold_gradient(dM, dM_dt)
    return np.asarray(observed(observe, "dreconstruction_dthreshold", dLrec_dt))


def densities(
    problem: Problem, weight: Array, threshold: float, sample: Array, conventions: Conventions
) -> tuple[float, float]:
    """Return p(t) and p(-t) of Equation 12 (conventions 10 and 11)."""
    points = np.array([threshold, -threshold])
    if conventions.density == "histogram":
        p = problem.arithmetic.histogram_density(points, weight, bins=conventions.histogram_bins)
    else:
        h = bandwidth_of(weight, conventions, problem.arithmetic.spread)
        p = problem.arithmetic.density(points, weight.ravel()[sample], h)
    return float(p[0]), float(p[1])


def bandwidth_of(
    weight: Array, conventions: Conventions, spread: Callable[[Array], float] = spread
) -> float:
    """Return the bandwidth h of Equation 12 in the unit of the weights (convention 11).

    "absolute": the factor itself; "relative": the factor times the layer's unbiased standard
    deviation, as a scalar ``bw_method`` of ``scipy.stats.gaussian_kde``.

    spread: computes that deviation.
    """
    if conventions.bandwidth == "absolute":
        return conventions.bandwidth_factor
    return conventions.bandwidth_factor * spread(weight)


def _weight_gradients(
    W: Arrays,
    t: Array,
    M: Arrays,
    gradients: Arrays,
    names: tuple[str, ...],
    conventions: Conventions,
    see: Observe,
) -> Iterator[tuple[str, Array]]:
    """Yield dL/dW = M * dL/dW_sparse, or what convention 4 asks for instead or in addition."""
    for i, name in enumerate(names):
        dsparse = see(f"dsparse_weight/{name}", gradients[name])
        if conventions.pruned_weight_gradient == "dense":
            pull = conventions.pruned_weight_pull
            dW = straight_through_gradient(W[name], M[name], dsparse, pull)
        else:
            dW = dsparse * M[name]
        if conventions.mask_gradient_reaches_weights:  # dM/dW = -sgn(w) dM/dt
            dM_dt = equations.mask_threshold_gradient(W[name], t[i])
            dW = dW - dsparse * W[name] * dM_dt * np.sign(W[name])
        yield name, see(f"dweight/{name}", dW)


def _descend(
    problem: Problem,
    state: State,
    gradients: Arrays,
    dt: Array,
    t: Array,
    conventions: Conventions,
    factor: float,
    see: Observe,
) -> State:
    """Apply SGD: with weight decay to weights and batch norm, without to the thresholds."""
    shared: dict[str, Any] = {"momentum": conventions.momentum, "nesterov": conventions.nesterov}
    weights: dict[str, Any] = {
        "learning_rate": conventions.learning_rate * factor,
        "weight_decay": conventions.weight_decay,
    }
    thresholds: dict[str, Any] = {"learning_rate": conventions.threshold_learning_rate * factor}
    sgd_step = problem.arithmetic.sgd_step
    parameters, velocities = {}, {}
    for name, w in state.parameters.items():
        g = see(f"dparameter/{name}", gradients[name])
        new, v = sgd_step(w, g, state.velocities[name], **shared, **weights)
        velocities[name] = see(f"velocity/{name}", v)
        if velocities[name] is not v:
            new = sgd_move(w, g, velocities[name], **shared, **weights)
        parameters[name] = see(f"new_parameter/{name}", new)
    if conventions.threshold_parameter == "sigmoid":
        dt = dt * t * (1 - t)  # dt/ds
    s, ds = state.threshold_parameters, see("dthreshold_parameter", dt)
    raw, v = sgd_step(s, ds, state.threshold_velocities, **shared, **thresholds)
    velocity = see("threshold_velocity", v)
    if velocity is not v:
        raw = sgd_move(s, ds, velocity, **shared, **thresholds)
    if conventions.threshold_parameter == "threshold":
        raw = np.maximum(raw, 0.0)  # a threshold is a magnitude
    raw = see("new_threshold_parameters", raw)
    return replace(
        state,
        step=state.step + 1,
        parameters=parameters,
        velocities=velocities,
        threshold_parameters=raw,
        threshold_velocities=velocity,
    )


def _controlled(
    state: State, problem: Problem, conventions: Conventions, control: Control, learn_rates: bool
) -> State:
    """Move the thresholds onto the budget if the control, fixed rates or bounds require it."""
    if learn_rates and control != "projection" and not problem.narrow:
        return state
    weights = problem.magnitudes(state.parameters)
    t = thresholds_of(state.threshold_parameters, conventions)
    if not learn_rates:
        rates = state.allocation.rates
        t = np.array(thresholds_at(weights, rates, conventions.initial_threshold))
    elif control == "projection":
        t = projected(problem, weights, t)
    else:
        t = clip_thresholds(weights, t, problem.bounds)
    return replace(state, threshold_parameters=parameter_of(t, conventions))


def projected(problem: Problem, weights: Arrays, t: Array) -> Array:
    """Scale the thresholds (L,) by one factor onto the budget, within the layers' bounds."""
    if problem.narrow or problem.costs is not None:
        return bounded_thresholds(weights, t, problem.count, problem.bounds, problem.costs)
    return t * problem.arithmetic.projection_factor(list(weights.values()), t, problem.count)
