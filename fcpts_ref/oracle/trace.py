"""Record a run: chosen steps of FCPTS with their inputs and every quantity.

The run is the one that ``fcpts-ref sparsify --engine numpy`` makes with the same profile from the
same seed, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.prepared import as_prepared
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.execution import Observe
from fcpts_ref.graphs.network import Network, check_images
from fcpts_ref.oracle.quantities import QUANTITIES
from fcpts_ref.oracle.replay import StepInputs, begin, replay, state_inputs
from fcpts_ref.oracle.trace_file import Schedule, Setting, StepTrace, Trace
from fcpts_ref.pruning.fcpts.method import FCPTS
from fcpts_ref.pruning.fcpts.step import draw_samples
from fcpts_ref.pruning.fcpts.views import views_in
from fcpts_ref.spec.budget import budget

Array = NDArray[Any]
MAX_BYTES = 2 << 30  # of one trace, which is assembled in memory before it is written


def record_run(
    network: Network,
    images: Any,
    *,
    target: float,
    steps: Collection[int],
    method: FCPTS,
    seed: int = 0,
    without: Collection[str] = (),
    on_step: Callable[[int], object] = lambda more: None,
    observe: Observe | None = None,
) -> Trace:
    """Run FCPTS up to the last of ``steps`` (counted from 0) and record these.

    images: all calibration images (n, C, H, W) in [0, 1].  without: patterns of quantities to
    leave out ("activation", "dactivation/*"); inputs always stay.  The final projection
    (``final_rate``, ``final_mask``) is recorded for the last step only.  on_step: called with 1
    after every step, recorded or not.  observe: sees every quantity of every step, and may return
    another value, with which the run continues and which is recorded.
    Raises InputError for bad input, steps that the run does not have, and traces beyond
    2 GiB.
    """
    setting = _make_setting(network, images, target, method)
    per_epoch = len(images) // _batch(method, images)
    if not steps or min(steps) < 0 or max(steps) >= per_epoch * method.epochs:
        raise InputError(
            f"steps are {sorted(steps)}; the run has {per_epoch * method.epochs}, counted from 0: "
            "choose among them, or give more --epochs"
        )
    recorded: dict[int, StepTrace] = {}
    rates, state = begin(setting)
    for number, inputs in _run_inputs(setting, images, method, np.random.default_rng(seed)):
        quantities, after = replay(setting, replace(inputs, state=state), observe)
        if number == 0:
            _check_patterns(without, quantities)
        if number in steps:
            if number == 0:
                quantities = {"initial_rates": rates["initial_rates"]} | quantities
            kept = _chosen(quantities, without, last=number == max(steps))
            taken = _input_arrays(network.graph.prunable, replace(inputs, state=state))
            recorded[number] = StepTrace(taken, kept)
            _check_size(recorded, len(steps))
        state = after
        on_step(1)
        if number == max(steps):
            break
    return Trace(recorded, setting)


def trace_bytes(steps: dict[int, StepTrace]) -> int:
    """Return the size of all arrays of some steps, in bytes."""
    return sum(
        array.nbytes
        for step in steps.values()
        for array in (*step.inputs.values(), *step.quantities.values())
    )


def _make_setting(network: Network, images: Any, target: float, method: FCPTS) -> Setting:
    """Check the arguments and return the setting, in float64."""
    check_images(network.graph, images)
    if network.masks:
        raise InputError(f"network {network.graph.name!r} is pruned already; give the dense one")
    if method.ramp and not method.learn_rates:
        raise InputError(
            f"ramp is {method.ramp} and rates are fixed, which a trace cannot hold together: set "
            "ramp to 0"
        )
    budget(target, 1)
    conventions = method.conventions
    if method.allocation:
        conventions = conventions.with_choices({"initial_allocation": method.allocation})
    schedule = Schedule(len(images), max(method.epochs, 1), _batch(method, images))
    return Setting(
        network.astype(np.float64),
        float(target),
        conventions,
        method.control,
        method.learn_rates,
        schedule,
        method.ramp,
    )


def _batch(method: FCPTS, images: Any) -> int:
    return min(method.batch_size or method.conventions.batch_size, len(images))


def _run_inputs(
    setting: Setting, images: Any, method: FCPTS, generator: np.random.Generator
) -> Iterator[tuple[int, StepInputs]]:
    """Yield the images and samples of every step, drawn in the order in which a run draws them."""
    assert setting.schedule is not None
    batch, state = setting.schedule.batch_size, begin(setting)[1]
    sizes = list(setting.network.sizes.values())
    number = 0
    cached: Mapping[str, Array] = {}
    for epoch in range(method.epochs):
        views, cached = views_in(
            epoch, images, method.augmentation, method.views, cached, generator
        )
        order = generator.permutation(len(images))
        prepared = as_prepared(images).astype(np.float64).seen(views)
        for start in range(0, len(images) - batch + 1, batch):
            seen = prepared[order[start : start + batch]]
            samples = draw_samples(sizes, setting.conventions, generator)
            yield number, StepInputs(state, seen, tuple(samples))
            number += 1


def _input_arrays(names: Sequence[str], inputs: StepInputs) -> dict[str, Array]:
    drawn = {
        f"samples/{name}": indices
        for name, indices in zip(names, inputs.samples, strict=True)
        if indices.size
    }
    return {"images": inputs.images} | drawn | state_inputs(inputs.state)


def _chosen(quantities: dict[str, Array], without: Collection[str], last: bool) -> dict[str, Array]:
    """Return the quantities to record; a pattern matches a whole name or its first part."""
    return {
        name: value
        for name, value in quantities.items()
        if (last or not name.startswith("final_"))
        and not any(_matches(name, pattern) for pattern in without)
    }


def _check_patterns(without: Collection[str], quantities: Collection[str]) -> None:
    """Raise InputError for a pattern that matches no quantity of the first or of any other step."""
    known = {*quantities, *QUANTITIES}
    for pattern in without:
        if not any(_matches(name, pattern) for name in known):
            raise InputError(
                f"--without {pattern}: matches no quantity; the names are "
                f"{', '.join(dict.fromkeys(name.partition('/')[0] for name in quantities))}"
            )


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition("/")[0], pattern)


def _check_size(recorded: dict[int, StepTrace], count: int) -> None:
    """Refuse, from the first step on, a trace that would become too large."""
    expected = trace_bytes(recorded) // len(recorded) * count
    if expected > MAX_BYTES:
        raise InputError(
            f"the trace would take {expected / 2**30:.1f} GiB; record fewer --steps, fewer images "
            "(--batch-size), or leave something out (--without activation)"
        )
