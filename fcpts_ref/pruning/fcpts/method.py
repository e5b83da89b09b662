"""FCPTS: the loop of Algorithm 1 around ``step``, from dense to sparse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fcpts_ref.data.augmentation import AUGMENTATIONS, mixed
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import Network
from fcpts_ref.objectives.make import make_objective
from fcpts_ref.pruning.fcpts.step import (
    Array,
    Arrays,
    Control,
    State,
    draw_samples,
    parameter_of,
    projected,
    step,
    thresholds_at,
    thresholds_of,
)
from fcpts_ref.pruning.fcpts.views import seen_in
from fcpts_ref.pruning.history import extended
from fcpts_ref.pruning.masks import (
    allocate_within,
    final_masks,
    left_out,
    mask_rates,
    masked_network,
)
from fcpts_ref.pruning.method import MethodBase, OnStep, Result, StepReport
from fcpts_ref.pruning.micro_batches import MICRO_BATCH, in_micro_batches
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.settings import setting
from fcpts_ref.pruning.units import SINGLE_WEIGHTS
from fcpts_ref.spec import equations
from fcpts_ref.spec.allocation import ALLOCATIONS, Allocation
from fcpts_ref.spec.budget import OutOfReach
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH, PROFILES, Conventions, profile
from fcpts_ref.spec.optim import warmup_cosine

PLAIN: dict[str, Any] = {
    "control": "loss",
    "epochs": 10,
    "augmentation": "none",
    "views": 0,
    "mixup": 0.0,
    "ramp": 0.0,
    "freeze_batch_norm": 0.0,
}

PROFILE_SETTINGS: dict[str, dict[str, Any]] = {
    "paper": PLAIN,
    "released": PLAIN,
    "extended": {
        "control": "projection",
        "epochs": 12,
        "augmentation": "crop",
        "views": 5,
        "mixup": 0.0,
        "ramp": 0.5,
        "freeze_batch_norm": 0.0,
    },
}
"""The settings that a profile fixes in addition to its conventions: fields of ``FCPTS``."""

DEFAULT_PROFILE = "extended"

RAMP_START = 0.5
"""The first target of a ramp: up to it, magnitude pruning alone costs little accuracy."""


FROM_PROFILE: Any = None
"""The default of a setting of ``FCPTS`` that its profile fixes."""


@dataclass(frozen=True)
class FCPTS(MethodBase):
    """The settings of a run.

    Settings that are None are taken from the profile (``PROFILE_SETTINGS``); every
    field of an instance holds its final value.  The profile's views need augmentation, and its ramp
    needs control "projection"; otherwise they are 0.

    profile: "paper", "released" or "extended"; ``choices`` replaces single conventions by name.
    allocation: where the thresholds start; default the profile's (convention 8).  Allocations
        by score keep the largest weight of every layer, as the last projection does.
    control: "loss" steers the global rate by L_c (Eq. 3, 13); "projection" omits L_c and scales
        all thresholds by one factor after every step so that the budget is met exactly.
    epochs, batch_size: passes over the calibration images; an incomplete last batch is left out.
    micro_batch: images that are run at a time, default the whole batch; equal up to rounding
        (``micro_batches``), batch norm's statistics are those of the batch.
    learn_rates: False keeps every layer at its initial rate (the paper's Figure 4); with a ramp,
        at its rate in the allocation of each step's target.
    augmentation: of the calibration images, drawn again every epoch: "none", "crop", "crop-flip" or
        "resized-crop-flip" (``data.augmentation``).
    views: if not 0, the number of augmented views of each image, used in turn, so that the dense
        network (if its batch norm evaluates) runs on each of them only once.
    mixup: the share of batches, drawn one by one, whose images are mixed with each other by a share
        uniform in [0, 1] (``data.augmentation.mixed``); the dense network runs on each of them.
    ramp: the share of the steps over which the target grows from RAMP_START to its value, with
        control "projection"; 0 for the target itself from the first step on.
    freeze_batch_norm: the share of the steps, the last ones, in which the sparse network's batch
        norm evaluates with the running statistics that it has by then (Krishnamoorthi, 2018,
        arXiv:1806.08342), so that the loss is that of the network as it will be used.
    """

    description: ClassVar[str] = (
        "learn pruning thresholds that meet the global rate, while the outputs\n"
        "stay close to those of the dense network"
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "fcpts": {},
        "fcpts-fixed": {"learn_rates": False},
        "fcpts-paper": {"profile": "paper"},
        "fcpts-released": {"profile": "released"},
        "fcpts-projection": {"profile": "paper", "control": "projection"},
    }
    runs_backward: ClassVar[bool] = True

    profile: str = setting(
        DEFAULT_PROFILE,
        "the paper read literally, its authors' code, or the settings that do best "
        "(default: extended)",
        choices=PROFILES,
    )
    choices: Mapping[str, Any] = setting(
        dict,
        "override one convention of the profile, such as temperature=4; may be repeated",
        option="choose",
        metavar="NAME=VALUE",
        of=Conventions,
    )
    allocation: str | None = setting(
        None,
        f"initial rates of the layers: {', '.join(ALLOCATIONS)} (default: from the profile)",
        choices=ALLOCATIONS,
        metavar="NAME",
    )
    control: Control = setting(  # noqa: RUF009 - a field
        FROM_PROFILE,
        "steer the global rate by the loss of Equation 3, or project onto it after every step "
        "(default: loss; extended: projection)",
    )
    epochs: int = setting(
        FROM_PROFILE, "passes over the calibration images (default: 10; extended: 12)"
    )
    batch_size: int | None = setting(None, "images in a step (default: 64)")
    micro_batch: int | None = setting(None, MICRO_BATCH)
    learn_rates: bool = setting(
        True,
        "keep every layer at its initial rate; with --ramp, at the one for each step's target",
        option="fixed-rates",
    )
    augmentation: str = setting(
        FROM_PROFILE,
        f"augmentation of the images: {', '.join(AUGMENTATIONS)} (default: none; extended: that of "
        "the data set)",
        choices=AUGMENTATIONS,
        metavar="NAME",
    )
    views: int = setting(
        FROM_PROFILE,
        "augmented views of each image, used in turn; 0: new ones in every epoch (default: 0; "
        "extended: 5)",
    )
    mixup: float = setting(
        FROM_PROFILE,
        "share of batches whose images are mixed with each other, in random shares (default: 0)",
        metavar="SHARE",
    )
    ramp: float = setting(
        FROM_PROFILE,
        "share of the steps in which the rate rises from 50 % to the target (default: 0; "
        "extended: 0.5)",
        metavar="SHARE",
    )
    freeze_batch_norm: float = setting(
        FROM_PROFILE,
        "share of the steps, the last ones, in which the statistics of batch norm stay as they are "
        "(default: 0)",
        metavar="SHARE",
    )

    @property
    def label(self) -> str:
        """A name such as "FCPTS (extended)" or "FCPTS (paper, projected)"."""
        parts, usual = [self.profile], PROFILE_SETTINGS[self.profile]["control"]
        if not self.learn_rates:
            parts.append("fixed")
        elif self.control != usual:
            parts.append("projected" if self.control == "projection" else "by loss")
        return f"FCPTS ({', '.join(parts)})"

    @property
    def calibration_images(self) -> int:
        """The number of calibration images of the conventions (convention 17)."""
        return self.conventions.calibration_images

    def __post_init__(self) -> None:
        _ = self.conventions
        self._fill_in(PROFILE_SETTINGS[self.profile])
        if self.control not in ("loss", "projection"):
            raise InputError(f"control is {self.control!r}; expected 'loss' or 'projection'")
        if self.augmentation not in AUGMENTATIONS:
            raise InputError(
                f"augmentation is {self.augmentation!r}; expected one of {', '.join(AUGMENTATIONS)}"
            )
        for name, least in (("epochs", 0), ("views", 0), ("batch_size", 1), ("micro_batch", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; expected {least} or more")
        if self.views and self.augmentation == "none":
            raise InputError(
                f"views is {self.views} without augmentation: all views would be the same; choose "
                "an augmentation, or views=0"
            )
        if not 0 <= self.mixup <= 1:
            raise InputError(f"mixup is {self.mixup}; expected a share of the batches, 0 to 1")
        self._check_freezing()
        if not 0 <= self.ramp <= 1 or (self.ramp > 0 and self.control != "projection"):
            raise InputError(
                f"ramp is {self.ramp} with control {self.control!r}; expected 0, or a share of the "
                "steps up to 1 with control='projection'"
            )

    def _check_freezing(self) -> None:
        share = self.freeze_batch_norm
        if not 0 <= share <= 1:
            raise InputError(f"freeze_batch_norm is {share}; expected a share of the steps, 0 to 1")
        if share and self.conventions.student_batch_norm != "training":
            raise InputError(
                f"freeze_batch_norm is {share} with student_batch_norm 'evaluation', which freezes "
                "the statistics in all steps; leave one of them out"
            )

    def _fill_in(self, defaults: Mapping[str, Any]) -> None:
        """Replace the fields that are None by the profile's settings."""
        given = {name: getattr(self, name) for name in defaults}
        settings = {**defaults} | {name: v for name, v in given.items() if v is not None}
        for name, needs, without in (
            ("views", "augmentation", "none"),
            ("ramp", "control", "loss"),
        ):
            if settings[needs] == without and given[name] is None:
                settings[name] = PLAIN[name]
        for name, value in settings.items():
            object.__setattr__(self, name, value)

    @property
    def conventions(self) -> Conventions:
        """The conventions of the profile with ``choices`` applied."""
        return profile(self.profile).with_choices(self.choices)

    def begin(self, problem: Problem) -> State:
        """Return thresholds at the initial allocation (convention 8) and velocities of 0."""
        conventions = self.conventions
        allocation, aimed = self._allocation(problem), self._aimed(problem, 0)
        units = problem.magnitudes(problem.network.parameters)
        first = allocation if self.learn_rates else self._allocation(aimed)
        t = np.array(thresholds_at(units, first.rates, conventions.initial_threshold))
        if problem.costs is not None or problem.unit is not SINGLE_WEIGHTS:
            # Few units or unequal costs leave layers at threshold 0, which no factor can raise.
            smallest = [float(np.abs(u[u != 0]).min(initial=np.inf)) for u in units.values()]
            t = np.where((t == 0) & np.isfinite(smallest), np.array(smallest) / 2, t)
        if self.learn_rates and aimed is not problem:
            t = projected(aimed, units, t)
        return State(
            step=0,
            parameters=dict(problem.network.parameters),
            buffers=dict(problem.network.buffers),
            velocities={k: np.zeros_like(v) for k, v in problem.network.parameters.items()},
            threshold_parameters=parameter_of(t, conventions),
            threshold_velocities=np.zeros(len(t)),
            allocation=allocation,
        )

    def stages(self, problem: Problem) -> int:
        """Return the number of epochs: each is a stage."""
        return self.epochs

    def advance(
        self, problem: Problem, state: State, generator: np.random.Generator, on_step: OnStep
    ) -> State:
        """Run one epoch: every batch of the images in a new random order."""
        n, batch = len(problem.images), self._batch(problem)
        objective = make_objective(self.conventions, problem.network.graph)
        problem = problem.comparing(objective.outputs(problem.network.graph))
        problem = in_micro_batches(problem, self.micro_batch, self.conventions)
        seen, remembered = seen_in(
            state.step // (n // batch),
            problem,
            self.augmentation,
            self.views,
            state.views,
            generator,
            remember=self.conventions.teacher_batch_norm == "evaluation" and objective.memorable,
        )
        state = replace(state, views=remembered)
        order = generator.permutation(n)
        records = []
        chosen = [order[start : start + batch] for start in range(0, n - batch + 1, batch)]
        for images, dense in seen.batches(problem.images, chosen):
            if self.mixup and generator.random() < self.mixup:
                images, dense = mixed(images, generator.random()), None
            state, record = self._step(problem, state, images, dense, generator)
            records.append(record)
            on_step(StepReport(state.step, self.steps(problem), batch, record))
        return replace(state, history=extended(state.history, records))

    def steps(self, problem: Problem) -> int:
        """Return the number of steps of the whole run."""
        return self.epochs * (len(problem.images) // self._batch(problem))

    def target_at(self, step: int, steps: int, target: float) -> float:
        """Return the target rate of a step.

        It has covered 1 - (1 - x)^3 of the distance from RAMP_START to the target, where x is the
        completed share of the ramp (Zhu and Gupta, 2017, section 3).  The last step's is the
        target itself.
        """
        if step >= min(self.ramp * steps, steps - 1) or target <= RAMP_START:
            return target
        left = 1 - step / (self.ramp * steps)
        return target - (target - RAMP_START) * left**3

    def finish(self, problem: Problem, state: State) -> Result:
        """Project onto the exact budget (convention 18) and return the result."""
        conventions = self.conventions
        names = problem.prunable
        t = thresholds_of(state.threshold_parameters, conventions)
        before = _rates(problem.magnitudes(state.parameters), t, conventions)
        thresholds = dict(zip(names, t.tolist(), strict=True))
        masks, reached = final_masks(problem, state.parameters, thresholds)
        trained = Network(problem.network.graph, state.parameters, state.buffers)
        N = problem.totals
        return Result(
            network=masked_network(trained, masks),
            thresholds=reached,
            rates=mask_rates(masks),
            initial_rates=dict(state.allocation.rates),
            rate_before_projection=float((before * N).sum() / N.sum()),
            dense_layers=state.allocation.dense,
            left_out=left_out(problem),
            history=dict(state.history),
        )

    def pack(self, state: State) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the state as named arrays and notes that JSON can hold."""
        groups = {
            "parameters": state.parameters,
            "buffers": state.buffers,
            "velocities": state.velocities,
            "history": state.history,
            "views": state.views,
        }
        arrays = {f"{group}/{k}": v for group, held in groups.items() for k, v in held.items()}
        arrays["threshold_parameters"] = state.threshold_parameters
        arrays["threshold_velocities"] = state.threshold_velocities
        return arrays, {"step": state.step, "allocation": asdict(state.allocation)}

    def unpack(self, arrays: Arrays, notes: Mapping[str, Any]) -> State:
        """Return the state that ``pack`` was given."""
        groups: dict[str, dict[str, Array]] = {
            "parameters": {},
            "buffers": {},
            "velocities": {},
            "history": {},
            "views": {},
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

    def _allocation(self, problem: Problem) -> Allocation:
        name = self.allocation or self.conventions.initial_allocation
        return allocate_within(name, problem)

    def _batch(self, problem: Problem) -> int:
        return min(self.batch_size or self.conventions.batch_size, len(problem.images))

    def _aimed(self, problem: Problem, step: int) -> Problem:
        """Return the problem at the target of a step."""
        target = self.target_at(step, self.steps(problem), problem.target)
        return problem.aiming(target)

    def _conventions_at(self, step: int, steps: int) -> Conventions:
        """Return the conventions of a step: batch norm evaluates in the last ones, if frozen."""
        if step >= (1 - self.freeze_batch_norm) * steps:
            return replace(self.conventions, student_batch_norm="evaluation")
        return self.conventions

    def _step(
        self,
        problem: Problem,
        state: State,
        images: Array,
        dense: Arrays | None,
        generator: np.random.Generator,
    ) -> tuple[State, dict[str, Any]]:
        steps = self.steps(problem)
        conventions = self._conventions_at(state.step, steps)
        warmup = min(conventions.warmup_epochs * (steps // max(self.epochs, 1)), steps)
        factor = warmup_cosine(
            state.step, steps, warmup, conventions.cosine, conventions.rate_update
        )
        factor = factor * len(images) / LEARNING_RATE_BATCH
        sizes = list(problem.sizes.values())
        samples = draw_samples(sizes, conventions, generator)
        aimed = self._aimed(problem, state.step)
        given = state
        if aimed is not problem and not self.learn_rates:
            given = replace(state, allocation=self._allocation(aimed))
        try:
            new, record = step(
                aimed,
                given,
                images,
                samples,
                conventions,
                control=self.control,
                learn_rates=self.learn_rates,
                rate_factor=factor,
                dense=dense,
                micro_batch=self.micro_batch,
            )
        except OutOfReach as error:
            raise InputError(f"step {state.step}: {error}") from error
        except InputError as error:
            if state.step == 0:
                raise
            raise InputError(
                f"the run diverged at step {state.step}: {error}; use a lower learning_rate"
            ) from error
        return replace(new, allocation=state.allocation), record


def _rates(weights: Arrays, t: Array, conventions: Conventions) -> Array:
    """Return the exact rate r of every layer, (L,) float64 (Equation 10)."""
    return np.array(
        [
            equations.sparsity_rate(w.astype(np.float64), t[i], strict=conventions.strict_rate)
            for i, w in enumerate(weights.values())
        ]
    )
