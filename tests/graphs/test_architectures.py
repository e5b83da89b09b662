"""Architectures: their sizes, their settings, and their names in the registry."""

from __future__ import annotations

import math

import pytest

from fcpts_ref.architectures.registry import ARCHITECTURES, architecture
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError


def weights(graph):
    return sum(math.prod(graph.parameter_shapes[name]) for name in graph.prunable)


def parameters(graph):
    return sum(map(math.prod, graph.parameter_shapes.values()))


# (prunable weights, layers, all parameters) as counted in PyTorch's modules of that name
SIZES = {
    "resnet18": (11_678_912, 21, 11_689_512),
    "resnet34": (21_779_648, 37, 21_797_672),
    "resnet50": (25_502_912, 54, 25_557_032),
    "resnet101": (44_442_816, 105, 44_549_160),
    "resnet18_cifar": (11_164_352, 21, 11_173_962),
    "vgg16_bn_cifar": (15_239_872, 16, 15_253_578),
    "mobilenet_v1": (4_209_088, 28, 4_231_976),
    "mobilenet_v1_cifar": (3_195_328, 28, 3_217_226),
    "mobilenet_v2": (3_469_760, 53, 3_504_872),
    "mobilenet_v2_cifar": (2_202_560, 53, 2_236_682),
    "regnet_x_200mf": (2_662_944, 45, 2_684_792),
    "regnet_x_400mf": (5_119_840, 72, 5_157_512),
    "regnet_x_400mf_torchvision": (5_457_120, 72, 5_495_976),
    "efficientnet_lite0": (4_608_992, 50, 4_652_008),
    "efficientnet_lite0_symmetric": (4_608_992, 50, 4_652_008),
    "vit_b_16": (86_292_480, 50, 86_567_656),
    "vit_b_32": (88_061_952, 50, 88_224_232),
    "vit_l_16": (303_800_320, 98, 304_326_632),
    "deit_tiny": (5_647_872, 50, 5_717_416),
    "deit_small": (21_912_576, 50, 22_050_664),
    "mobilenet_v1_ssd": (9_444_288, 47, 9_468_996),
    "mobilenet_v2_ssd_lite": (3_331_456, 86, 3_388_228),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name):
    graph = architecture(name)
    side, classes = (32, 10) if name.endswith("_cifar") else (224, 1000)
    if graph.is_detector:
        side, classes = 300, 21
    assert graph.input_shape == (3, side, side)
    assert graph.classes == classes
    assert (weights(graph), len(graph.prunable), parameters(graph)) == SIZES[name]


def test_every_architecture_has_its_size_checked():
    assert set(SIZES) == set(ARCHITECTURES)


# The paper's CIFAR networks have option B.
@pytest.mark.parametrize(
    ("depth", "shortcut", "count", "layers"),
    [
        (20, "A", 268_336, 20),
        (32, "A", 461_872, 32),
        (56, "A", 848_944, 56),
        (20, "B", 270_896, 22),
        (32, "B", 464_432, 34),
        (56, "B", 851_504, 58),
    ],
)
def test_sizes_of_cifar_resnets(depth, shortcut, count, layers):
    graph = architecture(f"resnet{depth}", shortcut=shortcut)
    assert (weights(graph), len(graph.prunable)) == (count, layers)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_classes_and_images_of_any_size(name):
    graph = architecture(name, classes=7, input_shape=(1, 40, 64))
    assert graph.name == name
    assert graph.classes == 7
    assert graph.input_shape == (1, 40, 64)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("width", [0.25, 0.5, 1.4])
def test_width(name, width):
    graph = ARCHITECTURES[name].graph(width=width)
    ratio = weights(graph) / weights(ARCHITECTURES[name].graph())
    assert ratio < 1 if width < 1 else ratio > 1


def test_the_width_of_mobilenet_v2_is_rounded_to_multiples_of_8():
    graph = ARCHITECTURES["mobilenet_v2"].graph(width=0.35)
    shapes = graph.parameter_shapes
    assert shapes["features.0.0.weight"][0] == 16  # 11.2 would be 8, which is less than 90 %
    assert shapes["features.1.conv.1.weight"][0] == 8
    assert shapes["features.18.0.weight"][0] == 1280


def test_names():
    assert architecture("resnet20") == resnet(20)
    assert architecture("resnet8", shortcut="B", classes=3) == resnet(8, shortcut="B", classes=3)
    graph = architecture("plain2", classes=4, input_shape=(1, 8, 8))
    assert graph.shapes["conv2"] == (32, 4, 4)
    assert graph.classes == 4


@pytest.mark.parametrize(
    "name",
    ["", "vgg16", "resnet", "resnet21", "resnet020", "plain", "plain0", "plain9", "resnet-8"],
)
def test_unknown_names(name):
    with pytest.raises(InputError) as caught:
        architecture(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"depth": 19}, {"depth": 18, "stem": "large"}])
def test_bad_settings(settings):
    from fcpts_ref.architectures.resnet_imagenet import resnet_imagenet

    with pytest.raises(InputError, match="expected"):
        resnet_imagenet(**settings)
