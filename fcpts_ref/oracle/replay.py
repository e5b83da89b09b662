"""Replay one step with the reference, from recorded inputs, with every quantity by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import WeightCache
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.execution import Observe, Pass, observed
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import check_images
from fcpts_ref.oracle.quantities import in_order
from fcpts_ref.oracle.trace_file import Setting
from fcpts_ref.pruning.fcpts.method import FCPTS
from fcpts_ref.pruning.fcpts.step import State, parameter_of, projected, step, thresholds_at
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH
from fcpts_ref.spec.optim import warmup_cosine

Array = NDArray[Any]
Arrays = Mapping[str, Array]
MAX_WORK = 4 << 30  # bytes of one forward pass in float64; a step holds a few of them
STATE = ("parameters", "buffers", "velocities")
THRESHOLDS = ("threshold_parameters", "threshold_velocities")


@dataclass(frozen=True)
class StepInputs:
    """Everything that a step depends on besides the setting.

    images: (B, C, H, W); samples: indices (n,) per layer for Equation 12; rate_factor: the factor
    on the learning rates, used if the setting has no schedule.
    """

    state: State
    images: Array
    samples: tuple[Array, ...]
    rate_factor: float = 1.0


class RecordingEngine:
    """The NumPy engine; reports every node's value, gradient and new running statistics.

    It always computes the gradients of all weights, pruned or not, so that they can be compared.
    """

    def __init__(self, graph: Graph, see: Observe, prefix: str = "") -> None:
        self.graph, self.see, self.prefix = graph, see, prefix
        self.engine = NumpyEngine(graph, observe=lambda name, value: see(prefix + name, value))

    def forward(
        self,
        parameters: Arrays,
        buffers: Arrays,
        inputs: Arrays,
        *,
        training: bool,
        keep: bool = False,
        sparse: bool = False,
        cache: WeightCache | None = None,
    ) -> Pass:
        """As ``NumpyEngine.forward``; also reports the new buffers."""
        passed = self.engine.forward(parameters, buffers, inputs, training=training, keep=keep)
        new = {
            name: array
            if self.prefix or array is buffers[name]
            else observed(self.see, f"new_buffer/{name}", array)
            for name, array in passed.buffers.items()
        }
        return replace(passed, buffers=new)

    def backward(self, passed: Pass, doutputs: Arrays, *, weight_gradient: Any = "all") -> Any:
        """As ``NumpyEngine.backward``, for all weights; also reports their gradients."""
        gradients = self.engine.backward(passed, doutputs, weight_gradient="all")
        return gradients | {
            name: observed(self.see, f"dsparse_weight/{name}", gradients[name])
            for name in self.graph.prunable
        }


def replay(
    setting: Setting, inputs: StepInputs, observe: Observe | None = None
) -> tuple[dict[str, Array], State]:
    """Return every quantity of the step in the order of computation, and the state after it.

    ``observe(name, value)`` may return another value, with which the step then continues.
    Raises InputError if the inputs do not make a step.
    """
    seen: dict[str, Array] = {}

    def see(name: str, value: Any) -> Any:
        if name not in seen:
            instead = observed(observe, name, value)
            seen[name] = np.array(instead)
            return None if instead is value else instead
        return seen[name]

    graph, conventions = setting.network.graph, setting.conventions
    images = check_images(graph, inputs.images)
    _check_work(graph, len(images))
    problem = Problem(
        setting.network,
        images,
        target_of(setting, inputs.state.step),
        teacher=RecordingEngine(graph, see, prefix="dense_"),
        student=RecordingEngine(graph, see),
    )
    factor = rate_factor(setting, inputs.state.step, len(images), inputs.rate_factor)
    factor = float(observed(see, "rate_factor", factor))
    state, _ = step(
        problem,
        inputs.state,
        images,
        list(inputs.samples),
        conventions,
        control=setting.control,  # type: ignore[arg-type]  # checked when the trace was read
        learn_rates=setting.learn_rates,
        rate_factor=factor,
        observe=see,
    )
    _see_the_end(replace(problem, target=setting.target), setting, state, see)
    return {name: seen[name] for name in in_order(seen, graph)}, state


def _check_work(graph: Graph, batch: int) -> None:
    """Refuse graphs, perhaps from a file, whose activations exceed the memory limit."""
    numbers = batch * sum(math.prod(shape) for shape in graph.shapes.values())
    if 8 * numbers > MAX_WORK:
        raise InputError(
            f"a step on {counted(batch, 'image')} of network {graph.name!r} has {numbers:.3g} "
            "activations; use fewer images in a step, as by 'fcpts-ref trace --batch-size'"
        )


def _see_the_end(problem: Problem, setting: Setting, state: State, see: Observe) -> None:
    """Report the result of the final projection if the run ended here (convention 18)."""
    try:
        result = _method(setting).finish(problem, state)
    except InputError:  # thresholds at which no projection is possible
        return
    see("final_rate", result.rate_before_projection)
    for name, mask in result.network.masks.items():
        see(f"final_mask/{name}", mask.astype(np.uint8))


def rate_factor(setting: Setting, number: int, batch: int, given: float) -> float:
    """Return the factor on the learning rates at a step (convention 16), or ``given``."""
    schedule = setting.schedule
    if schedule is None:
        return given
    per_epoch = schedule.calibration_images // schedule.batch_size
    steps = schedule.epochs * per_epoch
    warmup = min(setting.conventions.warmup_epochs * per_epoch, steps)
    c = setting.conventions
    factor = warmup_cosine(number, steps, warmup, c.cosine, c.rate_update)
    return factor * batch / LEARNING_RATE_BATCH


def target_of(setting: Setting, number: int) -> float:
    """Return the target rate of a step, which a ramp raises from step to step."""
    if setting.schedule is None or setting.ramp == 0:
        return setting.target
    schedule = setting.schedule
    steps = schedule.epochs * (schedule.calibration_images // schedule.batch_size)
    return _method(setting).target_at(number, steps, setting.target)


def begin(setting: Setting) -> tuple[dict[str, Array], State]:
    """Return the quantities before step 0, by name, and the state."""
    images = np.zeros((1, *setting.network.graph.input_shape))
    engine = NumpyEngine(setting.network.graph)
    problem = Problem(setting.network, images, setting.target, engine, engine)
    state = _method(setting).begin(problem)
    rates = np.array(list(state.allocation.rates.values()))
    return {"initial_rates": rates} | state_inputs(state, prefix="inputs/"), state


def thresholds_from(setting: Setting, rates: Array) -> Array:
    """Return the parameters of the thresholds (L,) that a run begins with at these rates (L,).

    Raises InputError for rates that are not shares.
    """
    if not ((rates >= 0) & (rates <= 1)).all():
        raise InputError(f"initial_rates are {rates.tolist()}; expected shares in [0, 1]")
    names = setting.network.graph.prunable
    weights = {name: setting.network.parameters[name] for name in names}
    by_name = dict(zip(names, rates.tolist(), strict=True))
    t = np.array(thresholds_at(weights, by_name, setting.conventions.initial_threshold))
    if setting.ramp and target_of(setting, 0) != setting.target:
        engine = NumpyEngine(setting.network.graph)
        images = np.zeros((1, *setting.network.graph.input_shape))
        problem = Problem(setting.network, images, target_of(setting, 0), engine, engine)
        t = projected(problem, weights, t)
    return parameter_of(t, setting.conventions)


def state_inputs(state: State, prefix: str = "") -> dict[str, Array]:
    """Return the state as arrays by name: "parameters/conv1.weight", "threshold_parameters"."""
    result = {
        f"{prefix}{kind}/{name}": array
        for kind in STATE
        for name, array in getattr(state, kind).items()
    }
    return result | {prefix + name: getattr(state, name) for name in THRESHOLDS}


def read_inputs(setting: Setting, number: int, inputs: Arrays, carried: State | None) -> StepInputs:
    """Return the inputs of a step from a trace, in float64; missing state is carried over.

    carried: the reference's state after the previous step.
    Raises InputError for inputs that are missing or do not fit.
    """
    graph = setting.network.graph
    begun = begin(setting)[1]
    base = begun if carried is None else carried
    has_state = any(name.partition("/")[0] in (*STATE, *THRESHOLDS) for name in inputs)
    if carried is None and number > 0 and not has_state:
        raise InputError(
            f"step {number} has no state in its inputs; record its parameters, buffers, "
            "velocities and thresholds"
        )
    if "images" not in inputs:
        raise InputError(f"step {number} has no inputs/images; record the images of the step")
    given = float(inputs["rate_factor"]) if "rate_factor" in inputs else 1.0
    named: dict[str, Any] = {kind: _merged(kind, getattr(base, kind), inputs) for kind in STATE}
    named |= {name: _fitting(name, getattr(base, name), inputs) for name in THRESHOLDS}
    state = replace(base, step=number, allocation=begun.allocation, **named)
    return StepInputs(
        state,
        inputs["images"].astype(np.float64),
        tuple(_samples(name, inputs, setting, number) for name in graph.prunable),
        given,
    )


def _merged(kind: str, base: Arrays, inputs: Arrays) -> dict[str, Array]:
    return {name: _fitting(f"{kind}/{name}", array, inputs) for name, array in base.items()}


def _fitting(name: str, base: Array, inputs: Arrays) -> Array:
    array = inputs.get(name)
    if array is None:
        return base
    if array.shape != base.shape:
        raise InputError(f"inputs/{name} has shape {array.shape}; expected {base.shape}")
    return array.astype(np.float64)


def _samples(name: str, inputs: Arrays, setting: Setting, number: int) -> Array:
    samples = inputs.get(f"samples/{name}")
    if samples is None and setting.conventions.density == "histogram":
        return np.arange(0)  # it uses all weights
    if samples is None:
        raise InputError(
            f"step {number} has no inputs/samples/{name}; record the indices drawn for Equation 12"
        )
    size = setting.network.parameters[name].size
    if (
        samples.dtype.kind not in "iu"
        or samples.ndim != 1
        or not ((samples >= 0) & (samples < size)).all()
    ):
        raise InputError(
            f"inputs/samples/{name} is {samples.dtype} {samples.shape}; expected indices (n,) "
            f"below {size}, row-major"
        )
    return samples


def _method(setting: Setting) -> FCPTS:
    """Return the method with the settings that ``begin`` and ``finish`` depend on."""
    return FCPTS(
        profile="paper",
        choices=asdict(setting.conventions),
        control=setting.control,  # type: ignore[arg-type]
        learn_rates=setting.learn_rates,
        epochs=setting.schedule.epochs if setting.schedule is not None else 1,
        ramp=setting.ramp,
    )
