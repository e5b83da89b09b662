"""Names of checkpoints matched with those a network expects."""

import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.names import match_state

EXPECTED = {
    "conv1.weight": (4, 3, 3, 3),
    "bn1.running_mean": (4,),
    "layer1.0.conv1.weight": (4, 4, 3, 3),
    "layer1.0.shortcut.0.weight": (4, 4, 1, 1),
    "linear.weight": (10, 4),
    "linear.bias": (10,),
}


def state_like(expected, rename=lambda name: name):
    return {
        rename(name): np.full(shape, number, np.float32)
        for number, (name, shape) in enumerate(expected.items())
    }


def test_names_that_fit_as_they_are():
    state = state_like(EXPECTED)
    report = match_state(state, EXPECTED)
    assert report.complete
    assert report.summary() == "6 arrays fit"
    assert list(report.arrays) == list(EXPECTED)
    assert all(report.arrays[name] is state[name] for name in EXPECTED)
    assert report.renamed == {}
    assert report.require_complete("a.pth") is report.arrays


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: "module." + name,
        lambda name: "_orig_mod.module." + name,
        lambda name: "model." + name,
        lambda name: name.replace("linear.", "fc."),
        lambda name: "module." + name.replace("shortcut.", "downsample.").replace("linear.", "fc."),
        lambda name: name.replace("linear.", "classifier."),
    ],
)
def test_variants(rename):
    report = match_state(state_like(EXPECTED, rename), EXPECTED)
    assert report.complete
    assert [array.flat[0] for array in report.arrays.values()] == list(range(6))
    assert report.renamed == {n: rename(n) for n in EXPECTED if rename(n) != n}


def test_variants_work_in_both_directions():
    theirs = {
        n.replace("linear.", "fc.").replace("shortcut.", "downsample."): s
        for n, s in EXPECTED.items()
    }
    assert match_state(state_like(EXPECTED), theirs).complete
    assert match_state(state_like(theirs), EXPECTED).complete


def test_only_whole_parts_of_a_name_are_replaced():
    report = match_state(
        {"xfc.weight": np.zeros(1), "head.fc.bias": np.zeros(2)},
        {"xlinear.weight": (1,), "head.linear.bias": (2,)},
    )
    assert report.renamed == {"head.linear.bias": "head.fc.bias"}
    assert report.unexpected == ("xfc.weight",)
    assert report.missing == ("xlinear.weight",)


def test_an_exact_name_goes_before_a_renamed_one():
    state = {"module.w": np.zeros(1), "w": np.ones(1), "fc.b": np.zeros(1), "linear.b": np.ones(1)}
    report = match_state(state, {"w": (1,), "linear.b": (1,)})
    assert report.arrays["w"] is state["w"]
    assert report.arrays["linear.b"] is state["linear.b"]
    assert report.unexpected == ("module.w", "fc.b")


def test_batch_counters_are_ignored_and_said_to_be():
    state = state_like(EXPECTED) | {"bn1.num_batches_tracked": np.array(5)}
    report = match_state(state, EXPECTED)
    assert report.complete
    assert report.ignored == ("bn1.num_batches_tracked",)


def test_everything_wrong_is_in_one_message():
    state = state_like(EXPECTED)
    del state["conv1.weight"]
    state["linear.weight"] = np.zeros((100, 4))
    state["linear.bias"] = np.array([np.nan] * 10)
    state["bn1.running_mean"] = np.zeros(4, np.int64)
    state["extra\nname"] = np.zeros(1)
    report = match_state(state, EXPECTED)
    assert not report.complete
    assert report.missing == ("conv1.weight",)
    assert report.unexpected == ("extra\nname",)
    assert report.wrong_shape == {"linear.weight": ((100, 4), (10, 4))}
    assert set(report.wrong_values) == {"linear.bias", "bn1.running_mean"}
    assert len(report.arrays) == 2
    with pytest.raises(InputError) as caught:
        report.require_complete("a.pth")
    assert str(caught.value) == (
        "a.pth does not fit the network: 2 arrays fit; 1 missing (conv1.weight); "
        "1 left over ('extra\\nname'); 1 of another shape (linear.weight (100, 4) instead of "
        "(10, 4)); 2 unusable (bn1.running_mean (int64, expected floating point), linear.bias "
        "(NaN or infinite values)): choose the architecture it was trained with"
    )


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"linear.weight": np.zeros((100, 4))}, "the number of classes and the image shape"),
        ({"linear.bias": np.full(10, np.nan)}, "its weights cannot be used"),
        ({"more": np.zeros(1)}, "choose the architecture"),
        ({"layer2.0.downsample.0.weight": np.zeros(1)}, "choose shortcut B"),
    ],
)
def test_the_advice_fits_what_is_wrong(change, remedy):
    with pytest.raises(InputError, match=remedy):
        match_state(state_like(EXPECTED) | change, EXPECTED).require_complete("a.pth")


def test_long_lists_are_cut():
    report = match_state({}, {f"w{n}": (1,) for n in range(100)})
    assert report.summary() == "0 arrays fit; 100 missing (w0, w1, w2, w3, w4 and 95 more)"


def test_nothing_to_match():
    assert match_state({}, {}).complete


def test_every_array_is_in_exactly_one_place():
    state = state_like(EXPECTED) | {"a.num_batches_tracked": np.array(1), "left": np.zeros(1)}
    state["linear.bias"] = np.full(10, np.inf)
    state["linear.weight"] = np.zeros(3)
    report = match_state(state, EXPECTED)
    places = [*report.arrays, *report.wrong_shape, *report.wrong_values]
    assert sorted([*places, *report.unexpected, *report.ignored]) == sorted(state)


def test_many_prefixes_take_no_time():
    name = "module." * 100_000 + "w"
    report = match_state({name: np.zeros(1)}, {"w": (1,)})
    assert report.unexpected == (name,)
    assert len(report.summary()) < 200
