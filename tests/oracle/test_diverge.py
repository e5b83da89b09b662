"""Comparing traces: faithful ones agree, others differ where they should, with their cause."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from traced_networks import record

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.judge import compare
from fcpts_ref.oracle.quantities import in_order, quantity_of
from fcpts_ref.oracle.tolerance import Tolerance
from fcpts_ref.oracle.trace_file import Schedule, StepTrace, Trace

PAPER = record(steps=(0, 1, 5))
FIRST = record(steps=(0,))  # a cause must hold in all steps: here there is one


def with_notes(trace, **choices):
    """The same trace, but its notes claim other conventions."""
    conventions = trace.setting.conventions.with_choices(choices)
    return replace(trace, setting=replace(trace.setting, conventions=conventions))


def changed(trace, number, name, value):
    """The same trace with one quantity of one step replaced."""
    step = trace.steps[number]
    quantities = step.quantities | {name: np.asarray(value)}
    return replace(trace, steps=trace.steps | {number: StepTrace(step.inputs, quantities)})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"profile": "released"},
        {"control": "projection"},
        {"learn_rates": False},
        {"augmentation": "crop-flip"},
        {"choices": {"student_batch_norm": "evaluation"}},
        {"profile": "released", "control": "projection"},
    ],
    ids=str,
)
def test_a_faithful_run_agrees(settings):
    trace = record(**settings)
    result = diverge(trace)
    assert result.ok, result.finding
    assert result.steps == (0, 1)
    recorded = sum(len(step.quantities) for step in trace.steps.values())
    states = 2 * len([n for n in trace.steps[0].inputs if not n.startswith(("images", "samples"))])
    assert result.count == recorded + states
    assert diverge(trace, trace).ok


POINTS = [
    (1, {}, {"tie": "half"}, "mask/conv1.weight"),
    (3, {}, {"reconstruction_moves_thresholds": False}, "dthreshold"),
    (4, {}, {"mask_gradient_reaches_weights": True}, "dweight/conv1.weight"),
    (4, {}, {"pruned_weight_gradient": "dense"}, "dweight/conv1.weight"),
    (5, {}, {"temperature": 4.0}, "reconstruction_loss"),
    (7, {}, {"threshold_parameter": "sigmoid"}, "inputs/threshold_parameters"),
    (8, {}, {"initial_allocation": "lamp"}, "initial_rates"),
    (9, {}, {"strict_rate": True}, "rates"),
    (10, {}, {"density": "histogram"}, "densities"),
    (11, {}, {"bandwidth": "absolute"}, "densities"),
    (12, {"target": 0.0}, {"at_target": "zero"}, "dcontrol_drate"),
    (13, {"target": 0.51}, {"control_weight": 3.0}, "total_loss"),
    (15, {}, {"student_batch_norm": "evaluation"}, "activation/bn1"),
    (15, {}, {"teacher_batch_norm": "training"}, "dense_activation/bn1"),
    (16, {}, {"nesterov": True}, "new_parameter/conv1.weight"),
    (16, {}, {"weight_decay": 5e-4}, "velocity/conv1.weight"),
    (16, {}, {"warmup_epochs": 0}, "rate_factor"),
    (16, {}, {"learning_rate": 0.04}, "new_parameter/conv1.weight"),
]


@pytest.mark.parametrize(("point", "run", "choice", "found_at"), POINTS, ids=lambda v: str(v))
def test_the_open_point_is_named(point, run, choice, found_at):
    result = diverge(with_notes(record(**run), **choice))
    assert result.finding.name == found_at
    first = result.finding.explanations[0]
    assert first.point == point
    assert first.question


def test_open_point_2_the_surrogate():
    name = "dmask_dthreshold/conv1.weight"
    smooth = np.zeros_like(FIRST.steps[0].quantities[name])
    result = diverge(changed(FIRST, 0, name, smooth))
    assert (result.finding.name, result.finding.explanations[0].point) == (name, 2)


def test_open_point_6_the_outputs_compared():
    q = FIRST.steps[0].quantities
    square = ((q["dense_logits"] - q["sparse_logits"]) ** 2).mean()
    result = diverge(changed(FIRST, 0, "reconstruction_loss", square))
    assert result.finding.explanations[0].point == 6


def test_open_point_14_the_layers():
    ones = np.ones_like(FIRST.steps[0].quantities["mask/linear.weight"])
    weight = FIRST.steps[0].inputs["parameters/linear.weight"]
    dense = changed(FIRST, 0, "mask/linear.weight", ones)
    result = diverge(dense)
    assert not result.finding.used
    assert diverge(changed(dense, 0, "sparse_weight/linear.weight", weight)).finding
    assert result.finding.explanations[0].point == 14
    fewer = diverge(changed(PAPER, 0, "initial_rates", np.full(2, 0.5)))
    assert fewer.finding.difference.problem == "shape"


def test_open_point_17_the_amount():
    long = Schedule(calibration_images=2_048, epochs=4, batch_size=8)
    notes = replace(PAPER.setting, schedule=long)
    other = replace(long, calibration_images=1_024)
    alone = StepTrace(FIRST.steps[0].inputs, {"rate_factor": np.array(0.0)})
    claimed = Trace({0: alone}, notes)
    factor = 8 / 64 * 1 / (other.calibration_images // 8)
    result = diverge(changed(claimed, 0, "rate_factor", factor))
    assert result.finding.name == "rate_factor"
    assert any(one.point == 17 for one in result.finding.explanations)


def test_open_point_18_the_end():
    trace = record(steps=(5,), choices={"threshold_learning_rate": 0.05})
    q = trace.steps[5].quantities
    for i, layer in enumerate(("conv1", "conv2", "linear")):
        own = np.abs(q[f"new_parameter/{layer}.weight"]) > q["new_thresholds"][i]
        trace = changed(trace, 5, f"final_mask/{layer}.weight", own * 1)
    found = diverge(trace).finding
    assert found.name.startswith("final_mask/")
    assert found.explanations[0].point == 18


def test_a_later_step_begins_where_the_one_before_ended():
    trace = record(steps=(0, 1))
    step = trace.steps[1]
    name = "velocities/conv1.weight"
    inputs = step.inputs | {name: np.zeros_like(step.inputs[name])}
    later = ("velocity/conv1.weight", "new_parameter/conv1.weight", "final_")
    quantities = {n: v for n, v in step.quantities.items() if not n.startswith(later)}
    wrong = replace(trace, steps=trace.steps | {1: StepTrace(inputs, quantities)})
    result = diverge(wrong)
    assert (result.finding.step, result.finding.name) == (1, f"inputs/{name}")
    assert result.finding.explanations[0].name == "velocities-reset"


def test_a_state_that_is_left_out_is_carried_over():
    trace = record(steps=(0, 1))
    few = {"images", *(name for name in trace.steps[1].inputs if name.startswith("samples/"))}
    steps = {
        number: StepTrace({n: step.inputs[n] for n in few}, step.quantities)
        for number, step in trace.steps.items()
    }
    assert diverge(replace(trace, steps=steps)).ok


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["rates", "total_loss", "mask/conv2.weight", "dthreshold"])
def test_non_finite_values_differ(name, value):
    wrong = np.array(PAPER.steps[1].quantities[name], dtype=float)
    wrong.flat[0] = value
    result = diverge(changed(PAPER, 1, name, wrong))
    assert (result.finding.step, result.finding.name) == (1, name)
    assert result.finding.explanations == ()
    assert not result.ok


def test_another_shape_differs():
    result = diverge(changed(PAPER, 0, "rates", np.zeros(2)))
    assert result.finding.difference.problem == "shape"
    assert result.finding.explanations == ()


def test_one_weight_in_a_mask_is_found():
    name = "mask/conv2.weight"
    mask = PAPER.steps[0].quantities[name].copy()
    mask.flat[17] = 1 - mask.flat[17]
    found = diverge(changed(PAPER, 0, name, mask)).finding
    assert (found.name, found.difference.wrong) == (name, 1)
    assert found.difference.index == np.unravel_index(17, mask.shape)


def test_quantities_missing_on_one_side_are_not_compared():
    step = PAPER.steps[0]
    few = {n: v for n, v in step.quantities.items() if n.startswith(("mask/", "total_loss"))}
    mine = Trace({0: StepTrace({}, few)})
    result = diverge(mine, PAPER)
    assert result.ok
    assert result.count == len(few) == 4
    assert result.only_reference["activation"] == 10
    assert diverge(PAPER, mine).ok


def test_causes_are_found_even_if_the_second_trace_has_few_quantities():
    q = PAPER.steps[0].quantities
    few = StepTrace(PAPER.steps[0].inputs, {"drate_dthreshold": q["drate_dthreshold"]})
    wrong = Trace({0: StepTrace({}, {"drate_dthreshold": q["densities"][:, 0]})})
    found = diverge(wrong, replace(PAPER, steps={0: few})).finding
    assert found.explanations[0].text == "p(-t) is missing"
    without = diverge(wrong, Trace({0: few})).finding
    assert without.explanations == ()


def test_the_order_of_computation_needs_no_graph():
    q = PAPER.steps[0].quantities
    names = ("control_loss", "mask/conv1.weight", "rates", "thresholds")
    right = Trace({0: StepTrace({}, {name: q[name] for name in names})})
    wrong = changed(changed(right, 0, "control_loss", 2.0), 0, "rates", q["rates"] + 1)
    assert diverge(wrong, right).finding.name == "rates"


def test_a_graph_too_large_for_memory_is_refused(monkeypatch):
    monkeypatch.setattr("fcpts_ref.oracle.replay.MAX_WORK", 10_000)
    with pytest.raises(InputError, match="activations"):
        diverge(PAPER)


def test_unknown_names_are_counted_not_compared():
    result = diverge(changed(PAPER, 0, "activations/conv1", 1.0))
    assert result.ok
    assert result.unknown == {"activations": 1}


def test_comparing_nothing_is_a_failure():
    mine = Trace({0: StepTrace({}, {"masks": np.ones(3)})})
    result = diverge(mine, PAPER)
    assert result.finding is None
    assert result.count == 0
    assert not result.ok


@pytest.mark.parametrize(
    ("mine", "reference", "message"),
    [
        (Trace({}), PAPER, "no step in common"),
        (Trace({7: StepTrace()}), PAPER, "no step in common"),
        (Trace({0: StepTrace()}), None, "no notes and network"),
        (replace(PAPER, steps={}), None, "no steps"),
        (replace(PAPER, steps={0: StepTrace()}), None, "inputs/images"),
        (replace(PAPER, steps={4: StepTrace()}), None, "no state"),
    ],
)
def test_traces_that_hold_too_little_are_refused(mine, reference, message):
    with pytest.raises(InputError, match=message):
        diverge(mine, reference)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_bad_scales_are_refused(scale):
    with pytest.raises(InputError, match="scale"):
        diverge(PAPER, scale=scale)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("images", np.zeros((2, 3)), "images have shape"),
        ("images", np.full((4, 2, 8, 8), np.nan), "NaN"),
        ("parameters/conv1.weight", np.zeros(3), "inputs/parameters/conv1.weight has shape"),
        ("samples/conv1.weight", np.array([0, 10**6]), "indices"),
        ("samples/conv1.weight", np.array([-1]), "indices"),
        ("samples/conv1.weight", np.array([0.5]), "indices"),
    ],
)
def test_inputs_that_do_not_make_a_step_are_refused(name, value, message):
    step = PAPER.steps[5]
    trace = replace(PAPER, steps={5: StepTrace(step.inputs | {name: value}, step.quantities)})
    with pytest.raises(InputError, match=message):
        diverge(trace)


def as_single(trace):
    steps = {
        number: StepTrace(
            step.inputs,
            {n: v.astype(np.float32) for n, v in step.quantities.items()},
        )
        for number, step in trace.steps.items()
    }
    return replace(trace, steps=steps)


def test_float32_has_its_own_tolerances():
    single = as_single(PAPER)
    assert diverge(single).ok
    assert diverge(PAPER, single).ok
    name = "new_buffer/bn1.running_mean"
    off = single.steps[0].quantities[name] * np.float32(1.001)
    assert diverge(changed(single, 0, name, off)).finding.name == name
    doubles = changed(PAPER, 0, "sparse_logits", single.steps[0].quantities["sparse_logits"] * 1.0)
    assert diverge(doubles, single=True).ok


def test_tolerances_can_be_scaled():
    name = "reconstruction_loss"
    off = changed(PAPER, 0, name, PAPER.steps[0].quantities[name] + 5e-9)
    assert diverge(off).finding.name == name
    assert diverge(off, scale=10).ok


def test_the_gradient_of_pruned_weights_counts_only_where_it_is_used():
    trace = record(profile="released", steps=(0,))
    name = "dsparse_weight/conv1.weight"
    kept = trace.steps[0].quantities["sparse_weight/conv1.weight"] != 0
    gradient = trace.steps[0].quantities[name]
    assert diverge(changed(trace, 0, name, gradient * kept)).ok
    assert not diverge(changed(trace, 0, name, gradient * ~kept)).ok
    paper = PAPER.steps[0].quantities[name]
    assert not diverge(changed(PAPER, 0, name, paper * kept)).ok


@pytest.mark.parametrize("short", ["bias", "weight"])
def test_the_gradient_of_a_bias_may_cancel_to_rounding(short):
    """Before batch norm it is a sum that is 0; its tolerance is relative to what is added up."""
    dy = np.random.default_rng(0).standard_normal((4, 3, 5, 5))
    dy -= dy.mean(axis=(0, 2, 3), keepdims=True)
    want, name = dy.sum(axis=(0, 2, 3)), f"dparameter/conv1.{short}"
    summed = np.abs(dy).sum(axis=(0, 2, 3)).max()

    def differs(got):
        given = {"dactivation/conv1": dy}
        return compare(name, want, got, given, None, Tolerance()) is not None

    assert np.abs(want).max() < 1e-12 * summed
    assert differs(-3 * want) == (short == "weight")  # other rounding
    assert differs(want + 1e-6 * summed)


def test_recorded_quantities_are_in_the_table_and_in_order():
    names = list(PAPER.steps[5].quantities)
    assert all(quantity_of(name) is not None for name in names)
    graph = PAPER.setting.network.graph
    assert names == in_order(reversed(names), graph)
    assert names.index("dactivation/bn2") < names.index("dactivation/conv1")
    assert in_order(["?", "rates", "mask/z", "mask/conv2.weight"], graph) == [
        "mask/conv2.weight",
        "mask/z",
        "rates",
        "?",
    ]
