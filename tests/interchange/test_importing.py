"""Networks imported from and exported to foreign checkpoints."""

import os
from pathlib import Path

import numpy as np
import pytest

from fcpts_ref.architectures.registry import architecture
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import Network
from fcpts_ref.interchange.importing import (
    NORMALISATIONS,
    export_network,
    import_network,
    read_checkpoint,
)
from fcpts_ref.interchange.safetensors_file import write_safetensors
from fcpts_ref.interchange.torch_write import write_torch_file

CONSTANTS = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1)}
SUFFIXES = [".safetensors", ".pth", ".pt", ".th"]


def make_network(masked=True, dtype=np.float32, name="resnet8", shortcut="B"):
    graph = architecture(name, shortcut=shortcut)
    draw = np.random.default_rng(0)
    numbers = {
        key: draw.uniform(0.5, 1, shape).astype(dtype)
        for key, shape in (graph.parameter_shapes | graph.buffer_shapes).items()
    }
    numbers |= {f"normalise.{key}": np.array(v, dtype) for key, v in CONSTANTS.items()}
    masks = {key: draw.random(numbers[key].shape) < 0.5 for key in graph.prunable}
    return Network(
        graph,
        {key: numbers[key] for key in graph.parameter_shapes},
        {key: numbers[key] for key in graph.buffer_shapes},
        masks if masked else {},
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back(tmp_path, suffix, masked, dtype):
    network = make_network(masked, dtype)
    path = tmp_path / f"a{suffix}"
    export_network(path, network)
    found, report = import_network(path, network.graph, **CONSTANTS)
    assert report.complete
    assert found.dtype == dtype
    assert set(found.masks) == set(network.masks)
    for name, array in network.parameters.items():
        if name in network.masks:
            assert np.array_equal(found.masks[name], network.masks[name])
            array = np.where(network.masks[name], array, 0)
        assert np.array_equal(found.parameters[name], array)
    for name, array in network.buffers.items():
        assert np.array_equal(found.buffers[name], array)


def test_what_is_exported(tmp_path):
    network = make_network()
    export_network(tmp_path / "a.pth", network)
    arrays = read_checkpoint(tmp_path / "a.pth")
    mask = arrays["conv1.weight_mask"]
    assert mask.dtype == np.uint8
    assert np.array_equal(arrays["conv1.weight"] != 0, mask == 1)
    assert np.array_equal(arrays["bn1.running_var"], network.buffers["bn1.running_var"])
    assert set(arrays) == {
        *network.parameters,
        *network.buffers,
        *(f"{name}_mask" for name in network.masks),
    }


def foreign_arrays(network):
    """What another program's checkpoint of the network would hold."""
    arrays = {**network.parameters, **network.buffers}
    return {name: array for name, array in arrays.items() if "normalise" not in name}


def test_constants_that_a_checkpoint_holds_need_not_be_given(tmp_path):
    network = make_network(architecture("resnet8", input_shape=(1, 8, 8)))
    export_network(tmp_path / "a.pth", network)
    found, _ = import_network(tmp_path / "a.pth", network.graph, **CONSTANTS)
    assert np.array_equal(found.buffers["normalise.mean"], network.buffers["normalise.mean"])


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_the_constants_of_a_foreign_checkpoint_are_those_given(tmp_path, name):
    network = make_network(masked=False)
    write_torch_file(tmp_path / "a.pth", foreign_arrays(network))
    mean, std = NORMALISATIONS[name]
    found, _ = import_network(tmp_path / "a.pth", network.graph, mean=mean, std=std)
    assert np.array_equal(found.buffers["normalise.mean"], np.zeros(3) + np.float32(mean))
    assert np.array_equal(found.buffers["normalise.std"], np.zeros(3) + np.float32(std))


def test_constants_in_the_checkpoint_go_first(tmp_path):
    network = make_network()
    export_network(tmp_path / "a.pth", network)
    found, _ = import_network(tmp_path / "a.pth", network.graph, mean=(9,), std=(9,))
    for name in ("normalise.mean", "normalise.std"):
        assert np.array_equal(found.buffers[name], network.buffers[name])


def test_a_mask_is_applied_to_weights_that_are_not(tmp_path):
    network = make_network()
    mask = network.masks["conv1.weight"]
    arrays = foreign_arrays(network) | {"conv1.weight_mask": mask}
    write_torch_file(tmp_path / "a.pth", arrays)
    found, _ = import_network(tmp_path / "a.pth", network.graph, **CONSTANTS)
    assert np.array_equal(found.parameters["conv1.weight"] != 0, mask)
    assert list(found.masks) == ["conv1.weight"]


def test_the_kind_of_file_is_told_by_its_contents(tmp_path):
    write_safetensors(tmp_path / "a.pth", {"w": np.ones(1)})
    write_torch_file(tmp_path / "b.safetensors", {"w": np.ones(1)})
    assert read_checkpoint(tmp_path / "a.pth")["w"] == 1
    assert read_checkpoint(tmp_path / "b.safetensors")["w"] == 1
    with pytest.raises(InputError, match="cannot read"):
        read_checkpoint(tmp_path / "absent")
    (tmp_path / "c").write_bytes(b"")
    with pytest.raises(InputError, match="not a PyTorch checkpoint"):
        read_checkpoint(tmp_path / "c")


def test_another_architecture_is_refused_with_all_that_is_wrong(tmp_path):
    export_network(tmp_path / "a.pth", make_network(masked=False, name="resnet14"))
    with pytest.raises(InputError, match=r"does not fit the network: .* left over \(layer1\.1"):
        import_network(tmp_path / "a.pth", architecture("resnet8"), **CONSTANTS)
    graph = architecture("resnet14", classes=100, shortcut="B")
    with pytest.raises(InputError, match=r"linear\.weight \(10, 64\) instead of \(100, 64\)"):
        import_network(tmp_path / "a.pth", graph, **CONSTANTS)


def test_half_precision_is_widened(tmp_path):
    network = make_network(masked=False)
    halves = {name: array.astype(np.float16) for name, array in foreign_arrays(network).items()}
    write_torch_file(tmp_path / "a.pth", halves)
    found, _ = import_network(tmp_path / "a.pth", network.graph, **CONSTANTS)
    assert found.dtype == np.float32
    assert np.array_equal(found.parameters["linear.bias"], halves["linear.bias"])


@pytest.mark.parametrize("mask", [np.full((16, 3, 3, 3), 0.5), np.ones((16, 3, 3))])
def test_a_mask_that_is_none(tmp_path, mask):
    arrays = foreign_arrays(make_network()) | {"conv1.weight_mask": mask}
    write_torch_file(tmp_path / "a.pth", arrays)
    with pytest.raises(InputError, match=r"conv1\.weight_mask should be"):
        import_network(tmp_path / "a.pth", make_network().graph, **CONSTANTS)


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.5, 0.5), (1, 1, 1)), ((), (1,)), ((0, 0, 0), (1, 1, 0)), ((0, 0, np.nan), (1, 1, 1))],
)
def test_constants_that_do_not_fit(tmp_path, mean, std):
    write_torch_file(tmp_path / "a.pth", foreign_arrays(make_network()))
    with pytest.raises(InputError, match=r"expected 3 finite numbers each .*std above 0"):
        import_network(tmp_path / "a.pth", make_network().graph, mean=mean, std=std)


WEIGHTS = os.environ.get("FCPTS_REF_TEST_WEIGHTS")
SETTINGS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.mark.skipif(not WEIGHTS, reason="FCPTS_REF_TEST_WEIGHTS does not name a folder of weights")
@pytest.mark.parametrize("name", ["resnet20", "resnet32", "resnet56"])
def test_real_checkpoints_fit_to_the_last_array(name):
    (path,) = Path(WEIGHTS).glob(f"{name}-*.th")
    graph = architecture(name)
    network, report = import_network(path, graph, **SETTINGS)
    assert report.complete
    assert len(report.arrays) == len(graph.parameter_shapes) + len(graph.buffer_shapes) - 2
    assert all(source == f"module.{target}" for target, source in report.renamed.items())
    assert network.dtype == np.float32
    with pytest.raises(InputError, match="does not fit the network"):
        import_network(path, architecture("resnet44"), **SETTINGS)
