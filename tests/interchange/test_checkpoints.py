"""Networks from checkpoints of other programs: recognised, and refused with the reason."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_networks import make_images, make_network

from fcpts_ref.architectures.registry import ARCHITECTURES, find_architecture, scaled
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError
from fcpts_ref.interchange.checkpoints import import_checkpoint
from fcpts_ref.interchange.importing import NORMALISATIONS, export_network
from fcpts_ref.interchange.torch_write import write_torch_file
from fcpts_ref.storage.network_files import read_network, write_network
from fcpts_ref.storage.sparse_arrays import dense_bytes


def small(name, source, **settings):
    """A narrow network under the names of a source."""
    row = find_architecture(name)
    layout = next(one for one in row.layouts if source in one.source)
    graph = layout.apply(row.graph(**{"width": 0.25, **layout.settings, **settings}))
    return make_network(graph, dtype=np.float32)


def foreign(network):
    """Its arrays as another program stores them, without the input normalisation."""
    arrays = {**network.parameters, **network.buffers}
    return {n: a for n, a in arrays.items() if not n.startswith("normalise")}


def write(path, arrays, prefix=""):
    write_torch_file(path, {prefix + n: a for n, a in arrays.items()})
    return path


@pytest.fixture
def option_b(tmp_path):
    network = make_network(resnet(8, shortcut="B", classes=100), dtype=np.float32)
    return write(tmp_path / "b.pth", foreign(network), "module.")


def test_a_checkpoint_without_anything_said_about_it(tmp_path):
    network = small("mobilenet_v1", "marvis", input_shape=(3, 32, 32), classes=4)
    path = write(tmp_path / "a.pth", foreign(network), "module.")
    imported = import_checkpoint(path, input_shape=(3, 32, 32))
    assert imported.architecture == (
        "mobilenet_v1 of width 0.25 under the names of marvis/pytorch-mobilenet"
    )
    assert imported.normalise == "imagenet"
    assert imported.network.graph == network.graph
    for name, array in network.parameters.items():
        assert np.array_equal(imported.network.parameters[name], array)
        assert imported.report.renamed[name] == f"module.{name}"
    assert np.allclose(imported.network.buffers["normalise.mean"], NORMALISATIONS["imagenet"][0])


@pytest.mark.parametrize("classes", [10, 100])
def test_the_normalisation_of_cifar_goes_by_the_classes(tmp_path, classes):
    network = make_network(resnet(8, shortcut="B", classes=classes), dtype=np.float32)
    imported = import_checkpoint(write(tmp_path / "a.pth", foreign(network)))
    assert imported.normalise == {10: "kuangliu", 100: "cifar100"}[classes]
    imported = import_checkpoint(tmp_path / "a.pth", normalise="half")
    assert imported.normalise == "half"
    assert np.all(imported.network.buffers["normalise.std"] == 0.5)


def test_an_option_b_checkpoint_given_as_option_a(option_b):
    imported = import_checkpoint(option_b, arch="resnet8", shortcut="B")
    assert "option B" in imported.architecture
    assert import_checkpoint(option_b, arch="resnet8").network.graph == imported.network.graph
    with pytest.raises(InputError) as caught:
        import_checkpoint(option_b, arch="resnet8", shortcut="A")
    assert str(caught.value) == (
        f"{option_b} holds resnet8 with shortcuts of option B under the names of "
        "chenyaofo/pytorch-cifar-models, not resnet8 with shortcuts of option A: leave these "
        "options out or give --arch resnet8 and --shortcut B"
    )


@pytest.mark.parametrize("arch", ["resnet18", "resnet14", "plain3", "mobilenet_v2"])
def test_another_architecture_than_the_one_that_was_named(option_b, arch):
    with pytest.raises(InputError, match=rf"holds resnet8 .*, not {arch}: .* --arch resnet8"):
        import_checkpoint(option_b, arch=arch)


def test_other_classes_than_the_checkpoint_has(option_b):
    assert import_checkpoint(option_b, classes=100).network.graph.classes == 100
    with pytest.raises(InputError, match="has 100 classes, not 10: choose the number of classes"):
        import_checkpoint(option_b, classes=10)


def test_twins_that_only_the_name_of_the_architecture_can_tell_apart(tmp_path):
    network = small("mobilenet_v2_cifar", "chenyaofo")
    path = write(tmp_path / "a.pth", foreign(network))
    with pytest.raises(InputError) as caught:
        import_checkpoint(path)
    assert re.search(
        r"fits mobilenet_v2 of width 0.25 under .* and mobilenet_v2_cifar of width 0.25 under .*: "
        "choose one with --arch",
        str(caught.value),
    )
    imported = import_checkpoint(path, arch="mobilenet_v2_cifar")
    assert imported.network.graph == network.graph
    assert import_checkpoint(path, arch="mobilenet_v2").network.graph.name == "mobilenet_v2"


def test_bgr(tmp_path):
    """A network that reads BGR gives for RGB images what its source gives for BGR."""
    network = small("regnet_x_200mf", "pycls", input_shape=(3, 32, 32))
    path = write(tmp_path / "a.pyth.pth", foreign(network))
    bgr = import_checkpoint(path, input_shape=(3, 32, 32), normalise="none")
    rgb = import_checkpoint(path, input_shape=(3, 32, 32), normalise="none", channel_order="RGB")
    images = make_images(network.graph, 2, dtype=np.float32)
    assert "reverse_channels" in bgr.network.graph.shapes
    assert "reverse_channels" not in rgb.network.graph.shapes
    assert np.array_equal(bgr.network(images), rgb.network(images[:, ::-1]))
    assert bgr.network.parameters.keys() == rgb.network.parameters.keys()


def test_timm_has_turned_the_colours_round(tmp_path):
    network = small("regnet_x_200mf", "timm", input_shape=(3, 32, 32))
    path = write(tmp_path / "a.pth", foreign(network))
    imported = import_checkpoint(path, input_shape=(3, 32, 32))
    assert "reverse_channels" not in imported.network.graph.shapes


@pytest.mark.parametrize("name", [n for n, row in ARCHITECTURES.items() if row.variants is scaled])
def test_exports_have_the_names_of_the_checkpoint(tmp_path, name):
    """So that the program that wrote the checkpoint can read the export."""
    small_one = {} if name == "vgg16_bn_cifar" else {"input_shape": (3, 32, 32)}
    for layout in ARCHITECTURES[name].layouts:
        network = small(name, layout.source, **small_one)
        path = write(tmp_path / "a.pth", foreign(network))
        imported = import_checkpoint(path, arch=name, input_shape=network.graph.input_shape)
        assert set(foreign(imported.network)) == set(foreign(network))
        export_network(tmp_path / "b.pth", imported.network)
        again = import_checkpoint(
            tmp_path / "b.pth", arch=name, input_shape=network.graph.input_shape
        )
        assert again.network.graph == network.graph
        assert np.array_equal(
            again.network.buffers["normalise.mean"], imported.network.buffers["normalise.mean"]
        )


def test_names_of_tensorflow_lite_in_an_npz_file(tmp_path):
    """Its operations are named after all that were fused; its last layer is a 1x1 convolution."""
    network = small("mobilenet_v2", "TensorFlow Lite", input_shape=(3, 32, 32))
    arrays = {}
    for name, array in foreign(network).items():
        layer, _, short = name.rpartition(".")
        kind = "Conv2D" if "Conv2d" in layer or "depthwise" not in layer else "batch_norm.Fused"
        full = f"MobileNetV2.{'top.' if '1x1' in layer else ''}{layer}.{kind}"
        fused = f"{full};StatefulPartitionedCall.{full};MobileNetV2.expanded_conv_9.expand"
        is_last = layer == "Conv2d_1x1_output" and short == "weight"
        arrays[f"{fused}.{short}"] = array[:, :, None, None] if is_last else array
    np.savez(tmp_path / "a.npz", **arrays)
    imported = import_checkpoint(tmp_path / "a.npz", input_shape=(3, 32, 32))
    assert imported.network.graph == network.graph
    assert imported.normalise == "half"
    for name, array in network.parameters.items():
        assert np.array_equal(imported.network.parameters[name], array)


def test_masks(tmp_path):
    network = small("mobilenet_v1", "timm", input_shape=(3, 32, 32))
    arrays = foreign(network)
    mask = np.random.default_rng(0).random(arrays["classifier.weight"].shape) < 0.5
    arrays["classifier.weight_orig"] = arrays.pop("classifier.weight")
    path = write(tmp_path / "a.pth", arrays | {"classifier.weight_mask": mask}, "module.")
    imported = import_checkpoint(path, input_shape=(3, 32, 32)).network
    assert list(imported.masks) == ["classifier.weight"]
    assert np.array_equal(imported.parameters["classifier.weight"] != 0, mask)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("classification_headers.0.weight", "an SSD detector"),
        ("roi_heads.box_head.fc6.weight", "a Faster R-CNN or Mask R-CNN detector"),
        ("model.0.conv.weight", ""),
        ("features.denseblock1.denselayer1.conv1.weight", "a DenseNet"),
        ("layers.0.blocks.0.attn.relative_position_bias_table", "a Swin Transformer"),
        ("s1.b1.f.se.f_ex.0.weight", "a RegNetY"),
        ("_blocks.0._se_reduce.weight", "an EfficientNet with squeeze-and-excitation"),
        ("bert.embeddings.word_embeddings.weight", "a language model"),
    ],
)
def test_architectures_that_are_not_built_in(tmp_path, name, kind):
    path = write(tmp_path / "a.pth", {name: np.ones((2, 2), np.float32)})
    with pytest.raises(InputError) as caught:
        import_checkpoint(path)
    message = str(caught.value)
    assert kind in message
    assert "torch.onnx.export" in message
    assert "\n" not in message
    assert ("is not built in" in message) == bool(kind)


def test_an_incomplete_checkpoint_of_a_known_architecture(tmp_path):
    arrays = foreign(small("resnet18", "torchvision"))
    path = write(tmp_path / "a.pth", {n: a for n, a in arrays.items() if n != "fc.weight"})
    with pytest.raises(InputError) as caught:
        import_checkpoint(path)
    assert "closest architecture is resnet18 under the names of torchvision" in str(caught.value)
    assert "missing (fc.weight)" in str(caught.value)


def test_a_name_for_arrays_that_are_not_recognised(tmp_path):
    """Names that need one of the variants of ``match_state`` are read if the name is given."""
    arrays = foreign(make_network(resnet(8), dtype=np.float32))
    renamed = {n.replace("linear.", "classifier."): a for n, a in arrays.items()}
    path = write(tmp_path / "a.pth", renamed)
    with pytest.raises(InputError, match="closest architecture is resnet8"):
        import_checkpoint(path)
    imported = import_checkpoint(path, arch="resnet8")
    assert imported.network.graph == resnet(8)
    assert imported.architecture == "resnet8"
    with pytest.raises(InputError, match=r"does not fit the network.*closest architecture is"):
        import_checkpoint(path, arch="resnet18")


def test_bad_values_are_refused(tmp_path):
    arrays = foreign(make_network(resnet(8), dtype=np.float32))
    arrays["bn1.running_var"] = -arrays["bn1.running_var"]
    with pytest.raises(InputError, match="minimum"):
        import_checkpoint(write(tmp_path / "a.pth", arrays))
    arrays["bn1.running_var"] = np.full(16, np.nan, np.float32)
    with pytest.raises(InputError, match="NaN"):
        import_checkpoint(write(tmp_path / "a.pth", arrays))


def test_no_arrays(tmp_path):
    np.savez(tmp_path / "a.npz")
    with pytest.raises(InputError, match="it holds no arrays"):
        import_checkpoint(tmp_path / "a.npz")


def test_arrays_that_are_no_npz_file(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"not a readable \.npz file"):
        import_checkpoint(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", a=np.array([{}], object))
    with pytest.raises(InputError, match=r"not a readable \.npz file"):
        import_checkpoint(tmp_path / "b.npz")


def test_a_pruned_checkpoint_without_masks_is_stored_small(tmp_path):
    """As torch.nn.utils.prune.remove leaves it: weights times mask, so half of the zeros are -0."""
    network = make_network(resnet(20), dtype=np.float32)
    arrays = foreign(network)
    for name in network.graph.prunable:
        weight = arrays[name]
        arrays[name] = weight * (abs(weight) > np.quantile(abs(weight), 0.9))
    assert np.signbit(arrays["conv1.weight"][arrays["conv1.weight"] == 0]).any()
    imported = import_checkpoint(write(tmp_path / "a.pth", arrays)).network
    assert not any(np.signbit(w[w == 0]).any() for w in imported.parameters.values() if w.ndim > 1)
    write_network(tmp_path / "a.h5", imported)
    assert (tmp_path / "a.h5").stat().st_size <= 0.15 * dense_bytes(imported)
    again, _ = read_network(tmp_path / "a.h5")
    assert all(again.parameters[n].tobytes() == imported.parameters[n].tobytes() for n in arrays
               if n in imported.parameters)  # fmt: skip
    assert not again.masks
