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
    normalisation,
    read_checkpoint,
    strip_endings,
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
    extras = tmp_path / f"extras{suffix}"
    export_network(path, network, extras=extras)
    found, report = import_network(path, network.graph, extras=extras, **CONSTANTS)
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
    export_network(tmp_path / "a.pth", network, extras=tmp_path / "b.pth")
    arrays, extras = (read_checkpoint(tmp_path / name) for name in ("a.pth", "b.pth"))
    mask = extras["conv1.weight_mask"]
    assert mask.dtype == np.uint8
    assert np.array_equal(arrays["conv1.weight"] != 0, mask == 1)
    assert np.array_equal(arrays["bn1.running_var"], network.buffers["bn1.running_var"])
    constants = {"normalise.mean", "normalise.std"}
    assert set(arrays) == {*network.parameters, *network.buffers} - constants
    assert set(extras) == {*constants, *(f"{name}_mask" for name in network.masks)}


def test_extras_need_a_file_of_their_own(tmp_path):
    with pytest.raises(InputError, match="expected another for the extras"):
        export_network(tmp_path / "a.pth", make_network(), extras=tmp_path / "a.pth")
    assert not list(tmp_path.iterdir())


def foreign_arrays(network):
    """The contents of another program's checkpoint of the network."""
    arrays = {**network.parameters, **network.buffers}
    return {name: array for name, array in arrays.items() if "normalise" not in name}


def test_constants_that_a_checkpoint_holds_need_not_be_given(tmp_path):
    network = make_network(architecture("resnet8", input_shape=(1, 8, 8)))
    extras = tmp_path / "b.pth"
    export_network(tmp_path / "a.pth", network, extras=extras)
    found, _ = import_network(tmp_path / "a.pth", network.graph, extras=extras, **CONSTANTS)
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
    arrays = {**foreign_arrays(network), "normalise.mean": network.buffers["normalise.mean"]}
    arrays["normalise.std"] = network.buffers["normalise.std"]
    write_torch_file(tmp_path / "a.pth", arrays)
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


def pruned_by_torch(network, prefix=""):
    """As torch.nn.utils.prune leaves it: weight_orig and weight_mask in place of weight."""
    arrays = foreign_arrays(network)
    for name, mask in network.masks.items():
        arrays[f"{name}_orig"] = arrays.pop(name)
        arrays[f"{name}_mask"] = mask.astype(np.float32)
    return {prefix + name: array for name, array in arrays.items()}


@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
def test_weights_and_masks_of_torch_s_prune(tmp_path, prefix):
    network = make_network()
    write_torch_file(tmp_path / "a.pth", pruned_by_torch(network, prefix))
    found, report = import_network(tmp_path / "a.pth", network.graph, **CONSTANTS)
    assert report.complete
    for name, mask in network.masks.items():
        assert np.array_equal(found.masks[name], mask)
        assert np.array_equal(found.parameters[name], np.where(mask, network.parameters[name], 0))


def test_a_mask_of_a_bias_is_applied_but_not_kept(tmp_path):
    network = make_network(masked=False)
    arrays = foreign_arrays(network)
    arrays["fc.bias_orig"] = arrays.pop("fc.bias")
    arrays["fc.bias_mask"] = np.arange(10) % 2
    write_torch_file(tmp_path / "a.pth", arrays)
    found, _ = import_network(tmp_path / "a.pth", network.graph, **CONSTANTS)
    assert not found.masks
    assert not found.parameters["fc.bias"][::2].any()
    assert found.parameters["fc.bias"][1::2].all()


@pytest.mark.parametrize("prefix", ["module.", "model.net."])
def test_our_own_exports_behind_a_prefix(tmp_path, prefix):
    network = make_network()
    export_network(tmp_path / "a.pth", network, extras=tmp_path / "extras.pth")
    arrays = read_checkpoint(tmp_path / "a.pth") | read_checkpoint(tmp_path / "extras.pth")
    write_torch_file(tmp_path / "b.pth", {prefix + name: a for name, a in arrays.items()})
    found, _ = import_network(tmp_path / "b.pth", network.graph, mean=(9,), std=(9,))
    assert np.array_equal(found.buffers["normalise.mean"], network.buffers["normalise.mean"])
    for name, mask in network.masks.items():
        assert np.array_equal(found.masks[name], mask)


def test_an_averaged_model(tmp_path):
    """torch.optim.swa_utils.AveragedModel: a counter, and the network as "module"."""
    network = make_network(masked=False)
    arrays = {f"module.{name}": a for name, a in foreign_arrays(network).items()}
    write_torch_file(tmp_path / "a.pth", {"n_averaged": np.array(7), **arrays})
    found, report = import_network(tmp_path / "a.pth", network.graph, **CONSTANTS)
    assert report.ignored == ("n_averaged",)
    assert np.array_equal(found.parameters["fc.bias"], network.parameters["fc.bias"])


@pytest.mark.parametrize(
    ("endings", "message"),
    [
        (("_g", "_v"), "weight normalisation.*remove_weight_norm"),
        (("_orig", "_u", "_v"), "spectral normalisation.*remove_spectral_norm"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_normalised_weights_are_refused_by_name(tmp_path, endings, message, prefix):
    arrays = foreign_arrays(make_network())
    weight = arrays.pop("conv1.weight")
    arrays |= {f"conv1.weight{ending}": weight for ending in endings}
    write_torch_file(tmp_path / "a.pth", {prefix + name: a for name, a in arrays.items()})
    with pytest.raises(InputError, match=message) as caught:
        import_network(tmp_path / "a.pth", make_network().graph, **CONSTANTS)
    assert f"{prefix}conv1.weight" in str(caught.value)


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_parametrised_weights_of_torch_are_refused_by_name(tmp_path, kind):
    torch = pytest.importorskip("torch")
    layer = getattr(torch.nn.utils.parametrizations, kind)(torch.nn.Linear(4, 3))
    torch.save({"state_dict": layer.state_dict()}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"remove_parametrizations"):
        import_network(tmp_path / "a.pt", make_network().graph, **CONSTANTS)


@pytest.mark.parametrize("ending", [".SAFETENSORS", ".Safetensors"])
def test_the_ending_may_be_in_capitals(tmp_path, ending):
    export_network(tmp_path / f"a{ending}", make_network())
    assert (tmp_path / f"a{ending}").read_bytes()[8:9] == b"{"


@pytest.mark.parametrize(
    "name",
    ["a.onnx", "a.npz", "a.npy", "a.h5", "a.keras", "a.gguf", "a.zip", "a", "a.pt.gz", "a.tar"],
)
def test_endings_of_other_formats_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"expected the ending \.safetensors, or \.pt"):
        export_network(tmp_path / name, make_network())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "stripped"),
    [
        ("model_best.pth.tar", "model_best"),
        ("resnet20-12fca82f.th", "resnet20-12fca82f"),
        ("a.PT", "a"),
        ("net.v2.safetensors", "net.v2"),
        ("net.v2", "net.v2"),
        ("plain", "plain"),
        (".pt", ".pt"),
    ],
)
def test_the_endings_of_a_checkpoint_are_no_part_of_its_name(name, stripped):
    assert strip_endings(name) == stripped


def test_normalisation_by_name_and_in_numbers():
    assert normalisation("cifar10") == NORMALISATIONS["cifar10"]
    numbers = "0.4914,0.4822,0.4465/0.2023,0.1994,0.2010"
    assert normalisation(numbers) == NORMALISATIONS["kuangliu"]
    assert normalisation("0.5/0.25") == ((0.5,), (0.25,))
    for text in ("", "cifar", "0.5", "0.5,0.5", "a/b", "0.5/0.5/0.5", "/"):
        with pytest.raises(InputError, match="expected one of none, imagenet"):
            normalisation(text)


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
    with pytest.raises(InputError, match=r"fc\.weight \(10, 64\) instead of \(100, 64\)"):
        import_network(tmp_path / "a.pth", graph, **CONSTANTS)


def test_half_precision_is_widened(tmp_path):
    network = make_network(masked=False)
    halves = {name: array.astype(np.float16) for name, array in foreign_arrays(network).items()}
    write_torch_file(tmp_path / "a.pth", halves)
    found, _ = import_network(tmp_path / "a.pth", network.graph, **CONSTANTS)
    assert found.dtype == np.float32
    assert np.array_equal(found.parameters["fc.bias"], halves["fc.bias"])


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


@pytest.mark.parametrize(
    ("mean", "std"), [((125, 123, 114), (63, 62, 67)), ((0,), (255,)), ((-104.0,), (1,))]
)
def test_constants_of_images_of_bytes(tmp_path, mean, std):
    write_torch_file(tmp_path / "a.pth", foreign_arrays(make_network()))
    with pytest.raises(InputError, match=r"of 0 to 255.*divide these numbers by 255"):
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


# Without zeros


def test_a_sparse_export_comes_back(tmp_path):
    network = make_network()
    for name in ("x.safetensors", "x.pt"):
        export_network(tmp_path / name, network, sparse=True)
        back = import_network(tmp_path / name, network.graph, mean=[0], std=[1])[0]
        for kind in ("parameters", "buffers", "masks"):
            for key, array in getattr(network, kind).items():
                kept = network.masks.get(key, True)
                assert np.array_equal(getattr(back, kind)[key], np.where(kept, array, 0))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        (".mask", np.zeros(1, np.uint8)),
        (".mask", np.zeros(3, np.float32)),
        (".shape", np.array([1 << 40, 1 << 40])),
        (".shape", np.array([-1, 2])),
        (".shape", np.array(3.5)),
        (".values", np.zeros(1, np.float32)),
    ],
)
def test_parts_that_do_not_fit(tmp_path, part, value):
    network = make_network()
    name = next(iter(network.masks))
    export_network(tmp_path / "x.safetensors", network, sparse=True)
    arrays = read_checkpoint(tmp_path / "x.safetensors") | {name + part: value}
    write_safetensors(tmp_path / "y.safetensors", arrays)
    with pytest.raises(InputError, match=r"do not fit|value for a mask"):
        import_network(tmp_path / "y.safetensors", network.graph, mean=[0], std=[1])
