"""Architectures recognised from the names and shapes of a checkpoint's arrays."""

from __future__ import annotations

import pytest

from fcpts_ref.architectures.registry import ARCHITECTURES, architecture, find_architecture, scaled
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.interchange.importing import NORMALISATIONS
from fcpts_ref.interchange.recognise import closest, recognise

CASES = [
    (name, layout)
    for name in (*ARCHITECTURES, "resnet20", "resnet56", "plain3")
    for layout in find_architecture(name).layouts
]
IDS = [f"{name}-{layout.source}" for name, layout in CASES]

# Architectures that compute something else with the same arrays: only --arch can tell.
TWINS = {
    ("mobilenet_v2", "torchvision, ModelTC/FCPTS"): "mobilenet_v2_cifar",
    ("mobilenet_v2_cifar", "chenyaofo/pytorch-cifar-models"): "mobilenet_v2",
    ("efficientnet_lite0", "timm tf_efficientnet_lite0"): "efficientnet_lite0_symmetric",
    ("efficientnet_lite0_symmetric", "timm efficientnet_lite0"): "efficientnet_lite0",
}


def shapes_of(name, layout, **settings):
    """The shapes of a checkpoint in this layout, as PyTorch writes it."""
    graph = layout.apply(find_architecture(name).graph(**layout.settings, **settings))
    shapes = {n: s.shape for n, s in graph.stored.items() if s.role != "constant"}
    for norm in [n for n in shapes if n.endswith("running_mean")]:
        shapes[norm.replace("running_mean", "num_batches_tracked")] = ()
    return shapes


@pytest.mark.parametrize(("name", "layout"), CASES, ids=IDS)
@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
def test_every_layout_of_every_architecture(name, layout, prefix):
    shapes = {prefix + n: shape for n, shape in shapes_of(name, layout, classes=7).items()}
    found = recognise(shapes)
    expected = {name, TWINS.get((name, layout.source), name)}
    assert {one.name for one in found} == expected
    (one,) = [one for one in found if one.name == name]
    assert one.layout == layout
    assert one.graph == find_architecture(name).graph(**layout.settings, classes=7)
    assert set(one.sources.values()) == {n for n in shapes if "num_batches_tracked" not in n}


@pytest.mark.parametrize(("name", "layout"), CASES, ids=IDS)
def test_every_layout_names_a_normalisation(name, layout):
    for classes in (10, 100, 1000):
        assert layout.normalise_for(classes) in NORMALISATIONS


@pytest.mark.parametrize("name", [n for n, row in ARCHITECTURES.items() if row.variants is scaled])
@pytest.mark.parametrize("width", [0.5, 1.4])
def test_the_width_follows_from_the_shapes(name, width):
    layout = ARCHITECTURES[name].layouts[0]
    found = recognise(shapes_of(name, layout, width=width))
    assert all(one.settings["width"] == width for one in found)
    assert f"{name} of width {width} " in " ".join(one.description for one in found)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v1", "regnet_x_200mf"])
def test_grey_images(name):
    layout = ARCHITECTURES[name].layouts[0]
    (found,) = recognise(shapes_of(name, layout, input_shape=(1, 224, 224)))
    assert found.graph.input_shape == (1, 224, 224)


def test_the_size_of_the_images_can_be_given():
    shapes = shapes_of("resnet18", ARCHITECTURES["resnet18"].layouts[0])
    (found,) = recognise(shapes, input_shape=(3, 64, 96))
    assert found.graph.input_shape == (3, 64, 96)


def test_images_that_are_too_small_for_an_architecture_exclude_it():
    shapes = shapes_of("vgg16_bn_cifar", ARCHITECTURES["vgg16_bn_cifar"].layouts[0])
    assert recognise(shapes, input_shape=(3, 16, 16)) == []


@pytest.mark.parametrize("option", ["A", "B"])
@pytest.mark.parametrize("widths", [(16, 32, 64), (32, 64, 128)])
@pytest.mark.parametrize("depth", [8, 20, 50, 110])
def test_cifar_resnets_of_any_depth_and_width(option, widths, depth):
    """ResNet-50 of the ImageNet kind has bottlenecks; 6n + 2 = 50 is another network."""
    graph = resnet(depth, shortcut=option, widths=widths, classes=100)
    shapes = {n: s.shape for n, s in graph.stored.items() if s.role != "constant"}
    (found,) = recognise(shapes)
    assert found.name == ("resnet50_cifar" if depth == 50 else f"resnet{depth}")
    assert found.shortcut == option
    assert found.graph == graph
    assert architecture(found.name, shortcut=option).name == graph.name


def test_one_array_more_or_less_or_of_another_shape_is_not_recognised():
    shapes = shapes_of("resnet18", ARCHITECTURES["resnet18"].layouts[0])
    assert recognise(shapes)
    assert recognise(shapes | {"more.weight": (3, 3)}) == []
    assert recognise({n: s for n, s in shapes.items() if n != "fc.bias"}) == []
    assert recognise(shapes | {"layer1.0.conv1.weight": (64, 64, 5, 5)}) == []


@pytest.mark.parametrize("shape", [(), (3,), (0, 0), (0, 0, 0, 0), (1 << 40, 1), (2, 1, 1, 1, 1)])
@pytest.mark.parametrize("name", ["resnet18", "resnet20", "plain3", "mobilenet_v2", "vit_b_16"])
def test_impossible_shapes_are_not_recognised_and_do_not_hurt(name, shape):
    row = find_architecture(name)
    shapes = shapes_of(name, row.layouts[0])
    weights = [array for array, own in shapes.items() if len(own) in (2, 4)]
    for array in (weights[0], weights[len(weights) // 2], weights[-1]):
        assert recognise(shapes | {array: shape}) == []
        assert closest(shapes | {array: shape}) is not None


def test_the_closest_architecture_has_the_classes_and_width_of_the_checkpoint():
    row = ARCHITECTURES["mobilenet_v2"]
    layout = row.layouts[0]
    graph = layout.apply(row.graph(**layout.settings, classes=7, width=0.5))
    shapes = {n: s.shape for n, s in graph.stored.items() if s.role != "constant"}
    del shapes[graph.prunable[0]]
    name, _, near = closest(shapes)
    assert name == "mobilenet_v2"
    assert near.classes == 7
    assert {n: s for n, s in near.parameter_shapes.items() if n in shapes}.items() <= shapes.items()


def test_the_closest_architecture():
    shapes = shapes_of("resnet34", ARCHITECTURES["resnet34"].layouts[0])
    without = {n: s for n, s in shapes.items() if not n.startswith("fc")}
    name, layout, _ = closest(without)
    assert (name, layout.source) == ("resnet34", "torchvision, timm")
    assert closest({"a": (1,), "b": (2,)}) is None
    assert closest({}) is None


def test_no_arrays():
    assert recognise({}) == []
