"""POT: layer-wise post-training pruning (Lazarevich, Kozlov and Malinin, 2021).

The pipeline of the FCPTS paper's baseline: fold batch norm, allocate rates on the folded weights,
fix the masks, correct weights and biases, then tune every unit by itself to reproduce the output
of the dense unit.  As batch norm is folded, the sparse network has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.prepared import batches_of
from fcpts_ref.engines.base import Engine
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.fold import fold_batch_norm
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.masks import allocate_within
from fcpts_ref.pruning.method import MethodBase, OnStep, Result, StepReport
from fcpts_ref.pruning.names import ALLOCATION_LABELS
from fcpts_ref.pruning.one_shot import OneShot
from fcpts_ref.pruning.pot.units import (
    Progress,
    advance_to,
    is_unit,
    parts_of,
    positions,
    run_part,
    slices_of,
)
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.allocation import ALLOCATIONS, Allocation
from fcpts_ref.spec.optim import adam_step

Array = NDArray[Any]
Arrays = Mapping[str, Array]

SPREAD_FLOOR = 1e-9
"""Added to the spread of a pruned channel, to avoid dividing by 0 for an empty one."""


@dataclass(frozen=True)
class State:
    """The state between two units.

    units_done: the number of units tuned.  parameters: of the folded network, pruned weights at 0.
    dense, sparse: the values that the dense and the sparse network have reached; not stored, but
    recomputed to the same bits when a run is resumed.
    """

    units_done: int
    parameters: Arrays
    masks: Mapping[str, NDArray[np.bool_]]
    allocation: Allocation
    history: Arrays = field(default_factory=dict)
    dense: Progress | None = None
    sparse: Progress | None = None


@dataclass(frozen=True)
class POT(MethodBase):
    """The settings of a run.

    allocation: the rates, "l2norm" or "erk" in the paper; any of ``ALLOCATIONS``.
    steps: Adam steps for each unit.  batch_size: images in a step; a step takes one of the
        calibration images' n // batch_size batches, drawn at random.
    weight_learning_rate, bias_learning_rate: Adam's, without a schedule.  Published runs take
        20,000 steps at 1e-5 and 1e-4.  A step of Adam moves a weight by about its learning rate,
        so a hundredth of the steps at a hundred times the rate reaches as far; at the published
        rates so few steps would leave the weights where they are.
    unit: "layer" compares after the layer and its ReLU, "independent" right after the layer.
    dense_inputs: True tunes a unit on its inputs in the dense network, so that units do not depend
        on one another; False on its inputs in the sparse network, tuned up to that unit.
    correct_weights, correct_biases: the corrections before the tuning.
    tolerance: a unit whose loss falls below it is done.
    """

    description: ClassVar[str] = (
        "fix the masks, then tune layer by layer to reproduce the outputs of the dense\n"
        "layers (POT, Lazarevich et al. 2021)"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "pot-l2norm": {"allocation": "l2norm"},
        "pot-erk": {"allocation": "erk"},
    }

    allocation: str = setting("erk", "rates of the layers", choices=ALLOCATIONS)
    steps: int = setting(200, "Adam steps per layer")
    batch_size: int = setting(64, "images in a step")
    weight_learning_rate: float = setting(1e-3, "learning rate of the weights", metavar="RATE")
    bias_learning_rate: float = setting(1e-2, "learning rate of the biases", metavar="RATE")
    unit: Literal["layer", "independent"] = setting(
        "layer", "tune a layer with the ReLU that follows it, or alone"
    )
    dense_inputs: bool = setting(
        True,
        "tune on the outputs of the pruned layers before, not of the dense ones",
        option="sparse-inputs",
    )
    correct_weights: bool = setting(
        True, "do not correct weights before tuning", option="no-weight-correction"
    )
    correct_biases: bool = setting(
        True, "do not correct biases before tuning", option="no-bias-correction"
    )
    tolerance: float = setting(
        1e-5, "stop tuning a layer when its loss falls below this", metavar="LOSS"
    )

    @property
    def label(self) -> str:
        """A name such as "POT (ERK)"."""
        return f"POT ({ALLOCATION_LABELS.get(self.allocation, self.allocation)})"

    def __post_init__(self) -> None:
        if self.unit not in ("layer", "independent"):
            raise InputError(f"unit is {self.unit!r}; expected one of layer, independent")
        least = {"steps": 0, "batch_size": 1, "weight_learning_rate": 0, "bias_learning_rate": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if not lowest <= value < np.inf:
                raise InputError(f"{name} is {value}; expected a finite number from {lowest} on")

    def begin(self, problem: Problem) -> State:
        """Fold batch norm, allocate the rates, make the masks and correct the weights."""
        folded = replace(problem, network=fold_batch_norm(problem.network))
        allocation = allocate_within(self.allocation, folded)
        masks = OneShot(self.allocation).finish(folded, allocation).network.masks
        weights = {
            name: correct_weight(weight, masks[name]) if self.correct_weights else weight
            for name, weight in folded.weights.items()
        }
        pruned = {name: np.where(masks[name], w, w.dtype.type(0)) for name, w in weights.items()}
        return State(0, {**folded.network.parameters, **pruned}, masks, allocation)

    def stages(self, problem: Problem) -> int:
        """Return the number of units: one per convolution or linear layer, each a stage."""
        return len(problem.network.graph.prunable)

    def advance(
        self, problem: Problem, state: State, generator: np.random.Generator, on_step: OnStep
    ) -> State:
        """Tune the next unit, in the order of the graph."""
        dense = fold_batch_norm(problem.network)
        parts = parts_of(dense.graph, self.unit)
        index = [i for i, part in enumerate(parts) if is_unit(part)][state.units_done]
        unit, buffers, make = parts[index], dense.buffers, problem.make_engine
        start = Progress(0, {dense.graph.input: problem.images})
        here = advance_to(state.dense or start, index, parts, dense.parameters, buffers, make)
        there = here
        if not self.dense_inputs:
            there = advance_to(state.sparse or start, index, parts, state.parameters, buffers, make)
        engine = make(unit)
        target = run_part(unit, here.values, dense.parameters, buffers, engine)
        own = {name: state.parameters[name] for name in unit.parameter_shapes}
        if self.correct_biases:
            own |= corrected_bias(unit, here.values[unit.input], dense.parameters, own)
        on_unit = _counted(on_step, state.units_done * self.steps, self.stages(problem))
        own, losses = self._tune(
            unit,
            own,
            buffers,
            there.values[unit.input],
            target,
            engine,
            generator,
            on_unit,
        )
        record = {
            "reconstruction_loss": np.array(losses),
            "unit": np.full(len(losses), state.units_done),
        }
        return replace(
            state,
            units_done=state.units_done + 1,
            parameters={**state.parameters, **own},
            history={
                k: np.concatenate([state.history.get(k, v[:0]), v]) for k, v in record.items()
            },
            dense=here,
            sparse=None if self.dense_inputs else there,
        )

    def finish(self, problem: Problem, state: State) -> Result:
        """Return the folded network; its masks have met the budget from the beginning."""
        folded = replace(problem, network=fold_batch_norm(problem.network))
        one_shot = OneShot(self.allocation).finish(folded, state.allocation)
        graph, buffers = folded.network.graph, folded.network.buffers
        network = Network(graph, dict(state.parameters), dict(buffers), dict(state.masks))
        return replace(one_shot, network=network, history=dict(state.history))

    def pack(self, state: State) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the state as named arrays and notes that JSON can hold."""
        groups = {"parameters": state.parameters, "masks": state.masks, "history": state.history}
        arrays = {f"{group}/{k}": v for group, held in groups.items() for k, v in held.items()}
        return arrays, {"units_done": state.units_done, "allocation": asdict(state.allocation)}

    def unpack(self, arrays: Arrays, notes: Mapping[str, Any]) -> State:
        """Return the state that ``pack`` was given, without ``dense`` and ``sparse``."""
        groups: dict[str, dict[str, Array]] = {"parameters": {}, "masks": {}, "history": {}}
        for name, array in arrays.items():
            group, _, key = name.partition("/")
            groups[group][key] = array
        allocation = notes["allocation"]
        return State(
            units_done=int(notes["units_done"]),
            parameters=groups["parameters"],
            masks={name: mask.astype(np.bool_) for name, mask in groups["masks"].items()},
            allocation=Allocation(dict(allocation["rates"]), tuple(allocation["dense"])),
            history=groups["history"],
        )

    def _tune(
        self,
        unit: Graph,
        parameters: Arrays,
        buffers: Arrays,
        x: Array,
        target: Array,
        engine: Engine,
        generator: np.random.Generator,
        on_step: OnStep,
    ) -> tuple[dict[str, Array], list[float]]:
        """Return the unit's parameters after ``steps`` steps of Adam, and the loss of each step.

        x: (n, ...), the unit's input; target: (n, ...), the dense unit's output.
        """
        learned = {
            f"{unit.name}.weight": self.weight_learning_rate,
            f"{unit.name}.bias": self.bias_learning_rate,
        }
        own = dict(parameters)
        first = {name: np.zeros_like(own[name]) for name in learned if name in own}
        second = {name: array.copy() for name, array in first.items()}
        losses: list[float] = []
        batch = min(self.batch_size, len(x))
        for step in range(1, self.steps + 1):
            start = batch * int(generator.integers(len(x) // batch))
            chosen = slice(start, start + batch)
            passed = engine.forward(
                own, buffers, {unit.input: x[chosen]}, training=False, keep=True, sparse=True
            )
            value = passed.outputs[unit.output]
            loss, dvalue = reconstruction(value, target[chosen], positions(unit))
            losses.append(loss)
            on_step(StepReport(step, self.steps, batch, {"reconstruction_loss": loss}))
            if loss < self.tolerance:
                break
            gradients = engine.backward(passed, {unit.output: dvalue}, weight_gradient="kept")
            for name in first:
                own[name], first[name], second[name] = adam_step(
                    own[name],
                    gradients[name],
                    first[name],
                    second[name],
                    step,
                    learning_rate=learned[name],
                )
        return own, losses


def reconstruction(value: Array, target: Array, positions: int) -> tuple[float, Array]:
    """Return the loss of a unit and its gradient with respect to the value.

    The loss is the mean over images and positions of the squared error summed over channels.
    value, target: (n, channels, ...).
    """
    difference = value - target
    places = len(value) * positions
    flat = difference.reshape(len(value), -1)
    loss = float(np.einsum("nf,nf->", flat, flat, dtype=np.float64)) / places
    return loss, difference * difference.dtype.type(2 / places)


def correct_weight(weight: Array, mask: NDArray[np.bool_]) -> Array:
    """Return the pruned weight with the spread, and part of the mean, of its dense channels.

    For every output channel c: v = std(W_c) / std(M W_c), m = mean(W_c) - mean(v M W_c);
    W_c becomes v W_c + m and is masked afterwards.  As m reaches only kept weights, the mean is
    restored in part.  weight: (K, ...).
    """
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    masked = rows * mask.reshape(rows.shape)
    v = rows.std(axis=1, keepdims=True) / (masked.std(axis=1, keepdims=True) + SPREAD_FLOOR)
    v = np.where(masked.any(axis=1, keepdims=True), v, 1.0)  # no weight is left to scale
    m = rows.mean(axis=1, keepdims=True) - (v * masked).mean(axis=1, keepdims=True)
    return np.asarray((v * rows + m).reshape(weight.shape).astype(weight.dtype))


def corrected_bias(unit: Graph, x: Array, dense: Arrays, sparse: Arrays) -> dict[str, Array]:
    """Return the bias for which the layer's mean output on the dense inputs is the dense layer's.

    x: (n, ...) dense inputs.  A layer is linear in its input, so the mean output is the output at
    the mean input: bias + mean over positions of f(mean x; W - W_sparse), (K,).  Empty for a layer
    without bias.
    """
    name = f"{unit.name}.bias"
    if name not in sparse:
        return {}
    difference = dense[f"{unit.name}.weight"] - sparse[f"{unit.name}.weight"]
    mean = mean_image(x)
    node, weight = unit.nodes[0], {"weight": difference.astype(np.float64)}
    y, _, _ = node.row.forward(
        [mean], weight, node.attributes, False
    )  # (1, K), (1, T, K) or (1, K, P, Q)
    channels = 1 if node.operation == "convolution" else y.ndim - 1
    lost = np.moveaxis(y, channels, 0).reshape(y.shape[channels], -1).mean(axis=1)
    return {name: (dense[name] + lost).astype(dense[name].dtype)}


def mean_image(x: Any) -> Array:
    """Return the mean (1, ...) of x (n, ...), float64; a sequence that is no array is read once."""
    if isinstance(x, np.ndarray):
        return np.asarray(x.mean(axis=0, keepdims=True, dtype=np.float64))
    chunks = batches_of(x, slices_of(len(x), math.prod(x.shape[1:])))
    total = sum(chunk.sum(axis=0, keepdims=True, dtype=np.float64) for chunk in chunks)
    return np.asarray(total / len(x))


def _counted(on_step: OnStep, before: int, units: int) -> OnStep:
    """Return an ``on_step`` whose reports count the steps of all units."""

    def report(step: StepReport) -> None:
        on_step(replace(step, step=before + step.step, steps=units * step.steps))

    return report
