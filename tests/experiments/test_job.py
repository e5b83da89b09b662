"""Jobs: checked when made, stored as JSON, made of options; their inputs and checksums."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import make_images, make_network, small_plain, small_resnet

import fcpts_ref
from fcpts_ref.data.dataset import read_dataset
from fcpts_ref.engines.reference import NumpyEngine
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.checksums import network_sha256
from fcpts_ref.experiments.inputs import Inputs, draw_calibration, find_inputs
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.options import changes_of
from fcpts_ref.experiments.pinned import all_settings, pin
from fcpts_ref.experiments.statistics import re_estimate_batch_norm
from fcpts_ref.graphs.execution import forward
from fcpts_ref.pruning.registry import make_method
from fcpts_ref.resources import resource_path
from fcpts_ref.storage.hdf5 import array_sha256


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "network": st.text(st.characters(exclude_categories=["Cs"])),
            "arch": st.none() | st.just("resnet20"),
            "shortcut": st.sampled_from("AB"),
            "target": st.floats(0, 0.999),
            "method": st.sampled_from(["fcpts", "pot", "one-shot"]),
            "calibration": st.none() | st.integers(1, 10**6),
            "seed": st.integers(0, 2**40),
            "keep_dense": st.lists(st.sampled_from(["conv1", "layer1.*"])),
            "max_rates": st.dictionaries(st.sampled_from(["conv1", "*"]), st.floats(0, 0.9)),
            "rates": st.dictionaries(st.sampled_from(["conv1", "*"]), st.floats(0, 0.9)),
            "engine": st.sampled_from(["numba", "numpy"]),
            "baselines": st.booleans(),
            "batch_norm": st.booleans(),
        },
    )
)
def test_jobs_come_back_from_json(data: dict[str, Any]) -> None:
    job = Job.from_json(data)
    assert Job.from_json(job.to_json()) == job
    assert set(job.to_json()) == {field.name for field in fields(Job)}
    assert hash(job) == hash(Job.from_json(job.to_json()))


BAD: dict[str, tuple[Any, str]] = {
    "misspelt": ({"taget": 0.9}, "no field 'taget'; did you mean 'target'"),
    "unknown": ({"zzz": 1}, "no field 'zzz'; it has agreement, arch"),
    "a list": ([1], "expected an object"),
    "a number as a text": ({"target": "0.9"}, "target is '0.9'; expected a number"),
    "a truth value as a number": ({"seed": True}, "seed is True; expected a whole number"),
    "target of 1": ({"target": 1.0}, "target is 1.0"),
    "target that is no number": ({"target": float("nan")}, "target is nan"),
    "negative seed": ({"seed": -1}, "seed is -1; expected 0 or more"),
    "no images": ({"calibration": 0}, "calibration is 0 images"),
    "engine": ({"engine": "torch"}, "engine is 'torch'; expected one of numba, numpy"),
    "shortcut": ({"shortcut": "C"}, "shortcut is 'C'; expected one of A, B"),
    "normalise": ({"normalise": "x"}, "normalisation 'x'; expected one of none, imagenet"),
    "method": ({"method": "magic"}, "unknown method 'magic'"),
    "layer's rate of 1": ({"rates": {"conv1": 1.0}}, "rates of 'conv1' is 1.0"),
    "layer's rate as a text": ({"max_rates": {"conv1": "x"}}, "max_rates.conv1 is 'x'"),
    "layers as a text": ({"keep_dense": "conv1"}, "keep_dense is 'conv1'; expected a list"),
    "misspelt setting": ({"settings": {"epoch": 1}}, "did you mean 'epochs'"),
    "another method's": ({"method": "pot", "settings": {"views": 1}}, "no setting 'views'"),
    "setting of another type": ({"settings": {"epochs": "3"}}, "epochs is '3'; expected a whole"),
    "setting out of range": ({"settings": {"epochs": -1}}, "epochs is -1"),
    "convention": ({"settings": {"choices": {"magic": 1}}}, "unknown convention 'magic'"),
    "empty label": ({"label": ""}, "expected one line of printable text"),
    "label of two lines": ({"label": "a\nb"}, "expected one line of printable text"),
    "label that is no text": ({"label": "\udcff"}, "expected a text in UTF-8"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_bad_jobs(data: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Job.from_json(data)
    assert "\n" not in str(caught.value)


def test_options_make_a_job() -> None:
    options = {
        "weights": "mine.h5",
        "sparsity": 0.5,
        "fixed-rates": True,
        "batch_norm": True,
        "no-baselines": True,
        "choose": ["temperature=2", "nesterov=true", "tie=half"],
        "epochs": 3,
        "keep-dense": ["conv1"],
        "max-rate": ["layer1.*=0.5", "linear=0.25"],
        "layer-rate": ["layer2.*=0.75"],
    }
    expected = Job(
        network="mine.h5",
        target=0.5,
        batch_norm=True,
        baselines=False,
        keep_dense=("conv1",),
        max_rates={"layer1.*": 0.5, "linear": 0.25},
        rates={"layer2.*": 0.75},
        settings={
            "learn_rates": False,
            "choices": {"temperature": 2.0, "nesterov": True, "tie": "half"},
            "epochs": 3,
        },
    )
    assert changes_of(options).job() == expected
    assert changes_of({**options, "choose": expected.settings["choices"]}).job() == expected
    assert list(changes_of(options).against(expected)) == []
    assert list(changes_of({"epochs": 4, "views": 2}).against(expected)) == [
        ("epochs", 4, 3),
        ("views", 2, None),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 1}, "no option 'epoch'; did you mean 'epochs'"),
        ({"method": "pot", "epochs": 1}, "'pot' has no option --epochs; it has --allocation"),
        ({"choose": ["temperature"]}, "expected NAME=VALUE"),
        ({"choose": ["temperature=hot"]}, "expected a number"),
        ({"max-rate": ["conv1"]}, "--max-rate conv1: expected NAME=VALUE"),
        ({"max-rate": ["conv1=x"]}, "--max-rate conv1=x: expected a number"),
        ({"choose": "temperature=1"}, "--choose is 'temperature=1'; expected a list"),
        ({"choose": ["magic=1"]}, "has no name 'magic'"),
        ({"fixed-rates": 1}, "--fixed-rates is 1; expected true or false"),
        ({"allocation": "flat"}, "--allocation is 'flat'; expected one of uniform"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        changes_of(options).job()


def test_settings_are_spelled_out() -> None:
    everything = all_settings(make_method("fcpts", epochs=3))
    assert (everything["epochs"], everything["views"], everything["ramp"]) == (3, 5, 0.5)
    assert everything["conventions"]["temperature"] == 4.0
    assert all_settings(make_method("pot"))["steps"] > 0


# One meaning, whatever the way in


def test_all_ways_in_agree_on_the_embedded_digits() -> None:
    """The default of the public function, of a job, and of the command line."""
    expected = all_settings(make_method("fcpts"))
    job = Job()
    assert pin(job, find_inputs(job)).settings == expected
    assert changes_of({}).job() == job == Job.from_json({})
    assert expected["augmentation"] == read_dataset(resource_path("digits.h5")).augmentation
    assert (expected["profile"], expected["control"], expected["epochs"]) == (
        "extended",
        "projection",
        12,
    )


@pytest.mark.parametrize(
    ("settings", "allowed", "expected"),
    [
        ({}, "crop-flip", ("crop-flip", 5)),
        ({}, "crop", ("crop", 5)),
        ({}, "none", ("none", 0)),
        ({"augmentation": "crop"}, "none", ("crop", 5)),
        ({"augmentation": "none"}, "crop", ("none", 0)),
        ({"profile": "paper"}, "crop", ("none", 0)),
    ],
)
def test_the_data_decide_how_a_method_that_augments_does(
    settings: dict[str, Any], allowed: str, expected: tuple[str, int]
) -> None:
    job = Job(settings=settings)
    found = find_inputs(job)
    dataset = replace(found.dataset, augmentation=allowed)
    pinned = pin(job, Inputs(found.network, dataset, found.images))
    assert (pinned.settings["augmentation"], pinned.settings["views"]) == expected
    assert all_settings(pinned.make_method()) == pinned.settings


def test_the_number_of_images_is_the_methods_unless_the_job_says() -> None:
    few = {"choices": {"calibration_images": 16}}
    assert len(find_inputs(Job(settings=few)).images) == 16
    assert len(find_inputs(Job(settings=few, calibration=20)).images) == 20
    assert len(find_inputs(Job(method="pot")).images) == 1000


def test_drawing_is_seeded_without_repeats_and_in_order() -> None:
    draw = [draw_calibration(100, 40, np.random.default_rng(s)) for s in (0, 0, 1)]
    assert np.array_equal(draw[0], draw[1])
    assert not np.array_equal(draw[0], draw[2])
    assert len(set(draw[0])) == 40
    assert (np.diff(draw[0]) > 0).all()
    assert np.array_equal(draw_calibration(5, None, np.random.default_rng(0)), range(5))
    assert np.array_equal(draw_calibration(5, 5, np.random.default_rng(0)), range(5))


@pytest.mark.parametrize("count", [0, -1, 6])
def test_drawing_too_few_or_too_many_images(count: int) -> None:
    with pytest.raises(InputError, match="there are 5"):
        draw_calibration(5, count, np.random.default_rng(0))


def test_re_estimated_statistics_are_the_means_over_batches() -> None:
    """Against the definition, at the first batch norm: its inputs computed here."""
    network = make_network(small_resnet())
    images = make_images(network.graph, 11)
    new = re_estimate_batch_norm(network, images, engine=NumpyEngine(network.graph), batch_size=4)
    seen: dict[str, Any] = {}
    means, variances = [], []
    for start in (0, 4):  # the last three images do not make a batch
        x = images[start : start + 4]
        forward(
            network.graph,
            network.parameters,
            network.buffers,
            {"images": x},
            training=True,
            observe=seen.__setitem__,
        )
        means.append(seen["conv1"].mean(axis=(0, 2, 3)))
        variances.append(seen["conv1"].var(axis=(0, 2, 3), ddof=1))
    assert np.abs(new.buffers["bn1.running_mean"] - np.mean(means, axis=0)).max() <= 1e-12
    assert np.abs(new.buffers["bn1.running_var"] - np.mean(variances, axis=0)).max() <= 1e-12
    assert new.parameters is network.parameters
    assert np.array_equal(new.buffers["normalise.mean"], network.buffers["normalise.mean"])


def test_checksums_tell_networks_apart() -> None:
    network = make_network(small_plain())
    turned = replace(network, parameters=dict(reversed(network.parameters.items())))
    assert network_sha256(network) == network_sha256(turned)
    changed = {**network.parameters, "linear.bias": network.parameters["linear.bias"] + 1e-12}
    assert network_sha256(network) != network_sha256(network.with_parameters(changed))
    images = make_images(network.graph)
    assert array_sha256(images) == array_sha256(images.astype(">f8"))
    assert array_sha256(images) != array_sha256(images[::-1])


def test_the_public_name_is_the_class() -> None:
    assert fcpts_ref.Job is Job
