"""FCPTS, Algorithm 1 of the paper: thresholds and weights learned together under one budget.

``step`` is one pass through the loop of Algorithm 1, in its order and in the terms of
``fcpts_ref.equations``; the rest of this file is the loop around it.  Layers are counted in the
order of the graph: thresholds, rates and sizes are (L,) arrays, thresholds always float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fcpts_ref import equations
from fcpts_ref.allocation import Allocation, allocate
from fcpts_ref.budget import exact_masks, projection_factor, threshold_of_count
from fcpts_ref.conventions import SIGMOID_FLOOR, Conventions, profile
from fcpts_ref.datasets.augmentation import AUGMENTATIONS, augment
from fcpts_ref.errors import InputError
from fcpts_ref.methods.common import (
    OnStep,
    Problem,
    Result,
    StepReport,
    ignore_step,
    make_problem,
    mask_rates,
    masked_network,
)
from fcpts_ref.networks import Network
from fcpts_ref.optim import sgd_step, warmup_cosine

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Control = Literal["loss", "projection"]
Observe = Callable[[str, Any], None]


@dataclass(frozen=True)
class State:
    """Everything that a step changes.  Parameters, buffers and velocities by name."""

    step: int
    parameters: Arrays
    buffers: Arrays
    velocities: Arrays
    threshold_parameters: Array  # (L,) float64: t, or s with t = sigmoid(s) (convention 7)
    threshold_velocities: Array  # (L,) float64
    allocation: Allocation
    history: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class FCPTS:
    """The settings of a run.

    profile: "paper" or "released"; ``choices`` replaces single conventions of it by name.
    allocation: where the thresholds start; default the profile's (convention 8).
    control: "loss" steers the global rate by L_c (Eq. 3, 13); "projection" leaves L_c away and
        scales all thresholds by one factor after every step so that the budget is met exactly.
    epochs, batch_size: passes over the calibration images; an incomplete last batch is left out.
    learn_rates: False keeps every layer at its initial rate (the paper's Figure 4).
    augmentation: "none", "crop" or "crop-flip" of the calibration images.
    """

    profile: str = "paper"
    choices: Mapping[str, Any] = field(default_factory=dict)
    allocation: str | None = None
    control: Control = "loss"
    epochs: int = 10
    batch_size: int | None = None
    learn_rates: bool = True
    augmentation: str = "none"

    def __post_init__(self) -> None:
        _ = self.conventions
        if self.control not in ("loss", "projection"):
            raise InputError(f"control is {self.control!r}; expected 'loss' or 'projection'")
        if self.augmentation not in AUGMENTATIONS:
            raise InputError(
                f"augmentation is {self.augmentation!r}; expected one of {', '.join(AUGMENTATIONS)}"
            )
        if self.epochs < 0 or (self.batch_size is not None and self.batch_size < 1):
            raise InputError(
                f"epochs is {self.epochs} and batch_size {self.batch_size}; expected epochs >= 0 "
                "and batch_size >= 1"
            )

    @property
    def conventions(self) -> Conventions:
        """The profile's conventions with ``choices`` applied."""
        return profile(self.profile).with_choices(self.choices)

    def begin(self, problem: Problem) -> State:
        """Thresholds at the initial allocation (convention 8), velocities at 0."""
        conventions = self.conventions
        name = self.allocation or conventions.initial_allocation
        allocation = allocate(name, problem.weights, problem.target)
        t = np.array(_thresholds_at(problem.weights, allocation.rates))
        return State(
            step=0,
            parameters=dict(problem.network.parameters),
            buffers=dict(problem.network.buffers),
            velocities={k: np.zeros_like(v) for k, v in problem.network.parameters.items()},
            threshold_parameters=_parameter_of(t, conventions),
            threshold_velocities=np.zeros(len(t)),
            allocation=allocation,
        )

    def stages(self, problem: Problem) -> int:
        """One stage an epoch."""
        return self.epochs

    def advance(
        self, problem: Problem, state: State, generator: np.random.Generator, on_step: OnStep
    ) -> State:
        """One epoch: the images in a new order, batch after batch."""
        n, batch = len(problem.images), self._batch(problem)
        order = generator.permutation(n)
        records = []
        for start in range(0, n - batch + 1, batch):
            chosen = order[start : start + batch]
            state, record = self._step(problem, state, chosen, generator)
            records.append(record)
            on_step(StepReport(state.step, self.steps(problem), batch, record))
        return replace(state, history=_extended(state.history, records))

    def steps(self, problem: Problem) -> int:
        """The number of steps of the whole run."""
        return self.epochs * (len(problem.images) // self._batch(problem))

    def finish(self, problem: Problem, state: State) -> Result:
        """The last projection: exactly round(target * N) weights go (convention 18)."""
        conventions = self.conventions
        names = problem.network.graph.prunable
        t = thresholds_of(state.threshold_parameters, conventions)
        weights = {name: state.parameters[name] for name in names}
        before = _rates(weights, t, conventions)
        thresholds = dict(zip(names, t.tolist(), strict=True))
        masks = exact_masks(weights, thresholds, problem.count)
        trained = Network(problem.network.graph, state.parameters, state.buffers)
        sizes = np.array([w.size for w in weights.values()])
        return Result(
            network=masked_network(trained, masks),
            thresholds=thresholds,
            rates=mask_rates(masks),
            initial_rates=dict(state.allocation.rates),
            rate_before_projection=float((before * sizes).sum() / sizes.sum()),
            dense_layers=state.allocation.dense,
            history=dict(state.history),
        )

    def pack(self, state: State) -> tuple[dict[str, Array], dict[str, Any]]:
        """The state as named arrays and notes that JSON can hold, to be stored."""
        groups = {
            "parameters": state.parameters,
            "buffers": state.buffers,
            "velocities": state.velocities,
            "history": state.history,
        }
        arrays = {f"{group}/{k}": v for group, held in groups.items() for k, v in held.items()}
        arrays["threshold_parameters"] = state.threshold_parameters
        arrays["threshold_velocities"] = state.threshold_velocities
        return arrays, {"step": state.step, "allocation": asdict(state.allocation)}

    def unpack(self, arrays: Arrays, notes: Mapping[str, Any]) -> State:
        """The state that ``pack`` was given."""
        groups: dict[str, dict[str, Array]] = {
            "parameters": {},
            "buffers": {},
            "velocities": {},
            "history": {},
        }
        for name, array in arrays.items():
            group, _, key = name.partition("/")
            if key:
                groups[group][key] = array
        allocation = notes["allocation"]
        return State(
            step=int(notes["step"]),
            threshold_parameters=arrays["threshold_parameters"],
            threshold_velocities=arrays["threshold_velocities"],
            allocation=Allocation(dict(allocation["rates"]), tuple(allocation["dense"])),
            **groups,
        )

    def _batch(self, problem: Problem) -> int:
        return min(self.batch_size or self.conventions.batch_size, len(problem.images))

    def _step(
        self, problem: Problem, state: State, chosen: Array, generator: np.random.Generator
    ) -> tuple[State, dict[str, Any]]:
        conventions = self.conventions
        images = augment(problem.images[chosen], self.augmentation, generator)
        fixed = self.augmentation == "none" and conventions.teacher_batch_norm == "evaluation"
        dense_logits = problem.dense_logits[chosen] if fixed else None  # once for the whole run
        steps = self.steps(problem)
        warmup = min(conventions.warmup_epochs * (steps // max(self.epochs, 1)), steps)
        factor = warmup_cosine(state.step, steps, warmup) * len(images) / 64  # convention 16
        sizes = [w.size for w in problem.weights.values()]
        samples = draw_samples(sizes, conventions, generator)
        try:
            return step(
                problem,
                state,
                images,
                samples,
                conventions,
                control=self.control,
                learn_rates=self.learn_rates,
                rate_factor=factor,
                dense_logits=dense_logits,
            )
        except InputError as error:
            if state.step == 0:
                raise
            raise InputError(
                f"the run diverged at step {state.step}: {error}; use a lower learning_rate"
            ) from error


def sparsify(
    network: Network,
    images: Array,
    *,
    target: float,
    seed: int = 0,
    engine: str = "numba",
    threads: int | None = None,
    on_step: OnStep = ignore_step,
    **settings: Any,
) -> Result:
    """Equation 6: FCPTS from the dense network to the sparse one (``settings``: see ``FCPTS``).

    images: (n, C, H, W) calibration images in [0, 1]; no labels.  target: global rate in [0, 1).
    Raises InputError for bad input, one line.
    """
    method = FCPTS(**settings)
    problem = make_problem(network, images, target, engine=engine, threads=threads)
    generator = np.random.default_rng(seed)
    state = method.begin(problem)
    for _ in range(method.stages(problem)):
        state = method.advance(problem, state, generator, on_step)
    return method.finish(problem, state)


def draw_samples(
    sizes: list[int], conventions: Conventions, generator: np.random.Generator
) -> list[Array]:
    """Indices of the weights that stand for their layer in Eq. 12, with replacement, per layer."""
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
    dense_logits: Array | None = None,
    observe: Observe | None = None,
) -> tuple[State, dict[str, Any]]:
    """One step of Algorithm 1 on a batch of images (B, C, H, W).

    samples: the weights drawn for Eq. 12 (``draw_samples``); rate_factor: on both learning rates;
    dense_logits: (B, classes) if they are known already, which needs a teacher that evaluates.
    ``observe(name, value)`` is called with every quantity in the order in which it is computed.
    Returns the new state and the step's numbers.
    """
    see = observe or _see_nothing
    names = problem.network.graph.prunable
    W = {name: state.parameters[name] for name in names}
    N = np.array([w.size for w in W.values()])
    t = thresholds_of(state.threshold_parameters, conventions)  # (L,)

    # 1. Forward propagation
    M = {name: equations.mask(W[name], t[i], tie=conventions.tie) for i, name in enumerate(names)}
    sparse = {name: equations.sparse_weight(W[name], M[name]) for name in names}
    for name in names:
        see(f"mask/{name}", M[name])
        see(f"sparse_weight/{name}", sparse[name])
    if dense_logits is None:
        dense_logits = _dense_logits(problem, images, conventions)
    passed = problem.student.forward(
        {**state.parameters, **sparse},
        state.buffers,
        images,
        training=conventions.student_batch_norm == "training",
        sparse=True,
    )
    T = conventions.temperature
    L_rec = equations.reconstruction_loss(dense_logits, passed.logits, temperature=T)
    r = _rates(W, t, conventions)
    L_c = equations.control_loss(r, N, problem.target)
    L = equations.total_loss(L_rec, L_c, control_weight=conventions.control_weight)
    forward = {"dense_logits": dense_logits, "sparse_logits": passed.logits}
    forward |= {"reconstruction_loss": L_rec, "rates": r, "control_loss": L_c, "total_loss": L}
    for quantity, value in forward.items():
        see(quantity, value)

    # 2. Backward propagation
    dlogits = equations.reconstruction_loss_gradient(dense_logits, passed.logits, temperature=T)
    see("dsparse_logits", dlogits)
    every = conventions.reconstruction_moves_thresholds or conventions.mask_gradient_reaches_weights
    gradients = problem.student.backward(
        passed, dlogits, weight_gradient="all" if every else "kept"
    )
    dt = np.zeros_like(t)
    if learn_rates:
        if control == "loss":
            dt = dt + _control_part(W, t, r, N, samples, problem.target, conventions, see)
        if conventions.reconstruction_moves_thresholds:  # convention 3
            dt = dt + _reconstruction_part(W, t, gradients, see)
        see("dthreshold", dt)
    gradients |= _weight_gradients(W, t, M, gradients, names, conventions, see)

    # 3. Gradient descent
    new = _descend(state, gradients, dt, t, conventions, rate_factor, see)
    new = _controlled(new, problem, conventions, control, learn_rates)
    new = replace(new, buffers=dict(passed.buffers))
    new_t = thresholds_of(new.threshold_parameters, conventions)
    see("new_thresholds", new_t)
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
    """t from what is learned (convention 7): itself, or sigmoid(s)."""
    if conventions.threshold_parameter == "sigmoid":
        return np.asarray(expit(parameters))
    return parameters


def _parameter_of(t: Array, conventions: Conventions) -> Array:
    """What is learned for thresholds t; s = logit(t), at least SIGMOID_FLOOR."""
    if conventions.threshold_parameter == "threshold":
        return t
    if (t >= 1).any():
        raise InputError(
            f"a layer needs a threshold of {t.max():.3g}, and sigmoid(s) stays below 1; use "
            "threshold_parameter='threshold' for weights this large"
        )
    with np.errstate(divide="ignore"):
        return np.asarray(np.maximum(np.log(t) - np.log1p(-t), SIGMOID_FLOOR))


def _thresholds_at(weights: Arrays, rates: Mapping[str, float]) -> list[float]:
    return [threshold_of_count(w, round(rates[name] * w.size)) for name, w in weights.items()]


def _rates(weights: Arrays, t: Array, conventions: Conventions) -> Array:
    """Eq. 10, the exact r of every layer, float64."""
    return np.array(
        [
            equations.sparsity_rate(w.astype(np.float64), t[i], strict=conventions.strict_rate)
            for i, w in enumerate(weights.values())
        ]
    )


def _dense_logits(problem: Problem, images: Array, conventions: Conventions) -> Array:
    """f(X, W) of the dense network on this batch (convention 15)."""
    network = problem.network
    return problem.teacher.forward(
        network.parameters,
        network.buffers,
        images,
        training=conventions.teacher_batch_norm == "training",
    ).logits


def _control_part(
    W: Arrays,
    t: Array,
    r: Array,
    N: Array,
    samples: list[Array],
    target: float,
    conventions: Conventions,
    see: Observe,
) -> Array:
    """dL_c/dt (L,), Equation 13: Equation 8 times Equation 11, weighted (convention 13)."""
    p = np.array([densities(w, t[i], samples[i], conventions) for i, w in enumerate(W.values())])
    dr_dt = equations.rate_threshold_gradient(p[:, 0], p[:, 1])
    dLc_dr = equations.control_loss_gradient(r, N, target, at_target=conventions.at_target)
    dLc_dt = equations.control_threshold_gradient(dLc_dr, dr_dt)
    see("densities", p)  # (L, 2): p(t), p(-t)
    see("drate_dthreshold", dr_dt)
    see("dcontrol_drate", dLc_dr)
    see("dcontrol_dthreshold", dLc_dt)
    return conventions.control_weight * dLc_dt


def _reconstruction_part(W: Arrays, t: Array, gradients: Arrays, see: Observe) -> Array:
    """dL_rec/dt (L,), Equation 14, over all weights of each layer."""
    dLrec_dt = np.empty_like(t)
    for i, (name, w) in enumerate(W.items()):
        dM = gradients[name] * w  # Equation 2: the sparse weight is M * W
        dM_dt = equations.mask_threshold_gradient(w, t[i])
        see(f"dmask/{name}", dM)
        see(f"dmask_dthreshold/{name}", dM_dt)
        dLrec_dt[i] = equations.reconstruction_threshold_gradient(dM, dM_dt)
    see("dreconstruction_dthreshold", dLrec_dt)
    return dLrec_dt


def densities(
    weight: Array, threshold: float, sample: Array, conventions: Conventions
) -> tuple[float, float]:
    """p(t) and p(-t) of Equation 12 (conventions 10 and 11)."""
    points = np.array([threshold, -threshold])
    if conventions.density == "histogram":
        p = equations.histogram_density(points, weight, bins=conventions.histogram_bins)
    else:
        p = equations.density(points, weight.ravel()[sample], bandwidth_of(weight, conventions))
    return float(p[0]), float(p[1])


def bandwidth_of(weight: Array, conventions: Conventions) -> float:
    """h of Equation 12 in the weights' unit (convention 11).

    "absolute": the factor itself; "relative": times the layer's standard deviation, unbiased, the
    meaning that a scalar ``bw_method`` has in ``scipy.stats.gaussian_kde``.
    """
    if conventions.bandwidth == "absolute":
        return conventions.bandwidth_factor
    if weight.min() == weight.max():  # else rounding could leave a spread that is none
        return 0.0
    spread = float(weight.std(ddof=1))
    return conventions.bandwidth_factor * spread


def _weight_gradients(
    W: Arrays,
    t: Array,
    M: Arrays,
    gradients: Arrays,
    names: tuple[str, ...],
    conventions: Conventions,
    see: Observe,
) -> dict[str, Array]:
    """dL/dW = M * dL/dW_sparse; through the mask too if convention 4 says so."""
    result = {}
    for i, name in enumerate(names):
        see(f"dsparse_weight/{name}", gradients[name])
        dW = gradients[name] * M[name]
        if conventions.mask_gradient_reaches_weights:  # dM/dW = -sgn(w) dM/dt
            dM_dt = equations.mask_threshold_gradient(W[name], t[i])
            dW = dW - gradients[name] * W[name] * dM_dt * np.sign(W[name])
        see(f"dweight/{name}", dW)
        result[name] = dW
    return result


def _descend(
    state: State,
    gradients: Arrays,
    dt: Array,
    t: Array,
    conventions: Conventions,
    factor: float,
    see: Observe,
) -> State:
    """SGD on weights and batch norm with weight decay, and on the thresholds without."""
    parameters, velocities = {}, {}
    for name, parameter in state.parameters.items():
        see(f"dparameter/{name}", gradients[name])
        parameters[name], velocities[name] = sgd_step(
            parameter,
            gradients[name],
            state.velocities[name],
            learning_rate=conventions.learning_rate * factor,
            momentum=conventions.momentum,
            weight_decay=conventions.weight_decay,
            nesterov=conventions.nesterov,
        )
        see(f"velocity/{name}", velocities[name])
        see(f"new_parameter/{name}", parameters[name])
    if conventions.threshold_parameter == "sigmoid":
        dt = dt * t * (1 - t)  # dt/ds
    see("dthreshold_parameter", dt)
    raw, velocity = sgd_step(
        state.threshold_parameters,
        dt,
        state.threshold_velocities,
        learning_rate=conventions.threshold_learning_rate * factor,
        momentum=conventions.momentum,
        nesterov=conventions.nesterov,
    )
    if conventions.threshold_parameter == "threshold":
        raw = np.maximum(raw, 0.0)  # a threshold is a magnitude
    see("threshold_velocity", velocity)
    see("new_threshold_parameters", raw)
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
    """The thresholds put back onto the budget, where the control or fixed rates ask for it."""
    weights = {name: state.parameters[name] for name in problem.network.graph.prunable}
    if not learn_rates:
        t = np.array(_thresholds_at(weights, state.allocation.rates))
    elif control == "projection":
        t = thresholds_of(state.threshold_parameters, conventions)
        t = t * projection_factor(list(weights.values()), t, problem.count)
    else:
        return state
    return replace(state, threshold_parameters=_parameter_of(t, conventions))


def _extended(history: Arrays, records: list[dict[str, Any]]) -> dict[str, Array]:
    """The history with the records of some more steps at its end."""
    if not records:
        return dict(history)
    new = {name: np.array([record[name] for record in records]) for name in records[0]}
    return {n: np.concatenate([history[n], a]) if n in history else a for n, a in new.items()}


def _see_nothing(name: str, value: Any) -> None:
    pass
