"""Every architecture against PyTorch in float64: forward, all gradients, and steps of FCPTS.

Narrow by default, at their own width in the slow tests.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from comparing import assert_close
from small_networks import make_images, make_network

from fcpts_ref.architectures.registry import ARCHITECTURES
from fcpts_ref.graphs import execution
from fcpts_ref.pruning.fcpts.method import FCPTS

torch = pytest.importorskip("torch")

from parity import torch_architectures as theirs  # noqa: E402
from parity.test_fcpts import begin, run_theirs  # noqa: E402
from parity.torch_networks import load, statistics  # noqa: E402

TOLERANCE = 1e-10
SMALLEST = 1e-3
"""The share of the greatest gradient below which one counts as zero: that of a bias before batch
norm is zero, and both programs compute rounding errors."""
CLASSES = 5
RELU, RELU6 = torch.nn.ReLU, torch.nn.ReLU6

# (source of the names, side of the images, arguments -> module)
Make = Callable[[float], Any]
CASES: dict[tuple[str, str], tuple[int, Make]] = {
    **{
        (f"resnet{depth}", "torchvision"): (40, partial(theirs.ResNet, depth, CLASSES))
        for depth in (18, 34, 50, 101)
    },
    ("resnet18_cifar", "torchvision"): (16, lambda w: theirs.ResNet(18, CLASSES, w, small=True)),
    ("vgg16_bn_cifar", "chenyaofo"): (32, lambda w: theirs.VGG(CLASSES, w, (512, 512))),
    ("vgg16_bn_cifar", "kuangliu"): (32, lambda w: theirs.VGG(CLASSES, w, ())),
    ("mobilenet_v1", "marvis"): (40, lambda w: theirs.MobileNetV1(CLASSES, w, 2, RELU)),
    ("mobilenet_v2", "torchvision"): (40, partial(theirs.MobileNetV2, CLASSES)),
    ("mobilenet_v2_cifar", "chenyaofo"): (
        20,
        lambda w: theirs.MobileNetV2(CLASSES, w, small=True),
    ),
    ("efficientnet_lite0", "efficientnet-lite-pytorch"): (
        45,  # of odd sides, the padding is sometimes symmetric
        partial(theirs.EfficientNetLite0, CLASSES),
    ),
}
REGNETS = {
    "regnet_x_200mf": (theirs.regnet_widths(13, 24, 36.44, 2.49, 8, up=False), 8),
    "regnet_x_400mf": (theirs.regnet_widths(22, 24, 24.48, 2.54, 16, up=False), 16),
    "regnet_x_400mf_torchvision": (theirs.regnet_widths(22, 24, 24.48, 2.54, 16, up=True), 16),
}


def pair(case, width):
    """Return our network under the names of a source, and PyTorch's with the same weights."""
    (name, source), (side, make) = case, CASES[case]
    row = ARCHITECTURES[name]
    layout = next(one for one in row.layouts if source in one.source)
    graph = row.graph(**layout.settings, classes=CLASSES, width=width, input_shape=(3, side, side))
    network = make_network(layout.apply(graph))
    return network, load(make(width), network)


def assert_same(network, module, count, training):
    images = make_images(network.graph, count)
    module.train(training)
    x = torch.from_numpy(images).requires_grad_()
    want = module(x)
    passed = execution.forward(
        network.graph, network.parameters, network.buffers, {"images": images}, training=training
    )
    assert_close(passed.outputs["logits"], want.detach().numpy(), TOLERANCE, "logits")
    for name, statistic in statistics(module).items():
        assert_close(passed.buffers[name], statistic, TOLERANCE, name)
    dlogits = np.random.default_rng(0).standard_normal(passed.outputs["logits"].shape)
    gradients, dinputs = execution.backward(network.graph, passed, {"logits": dlogits})
    parameters = dict(module.named_parameters())
    expected = torch.autograd.grad(want, [x, *parameters.values()], torch.from_numpy(dlogits))
    assert_gradients(
        gradients | dinputs,
        {n: g.numpy() for n, g in zip(["images", *parameters], expected, strict=True)},
    )


def assert_gradients(got, want):
    assert set(got) == set(want)
    least = SMALLEST * max(np.abs(gradient).max() for gradient in want.values())
    for name, gradient in want.items():
        error = np.abs(got[name] - gradient).max()
        assert error <= TOLERANCE * max(np.abs(gradient).max(), least), name


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_narrow(case, training):
    network, module = pair(case, 0.125)
    assert_same(network, module, 5, training)


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_full_width(case, training):
    network, module = pair(case, 1.0)
    assert_same(network, module, 5, training)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", REGNETS)
def test_regnet(name, training):
    """Of full width: 200MF and 400MF are narrow, and the paper's formula gives the widths."""
    stages, group = REGNETS[name]
    graph = ARCHITECTURES[name].graph(classes=CLASSES, input_shape=(3, 40, 40))
    network = make_network(graph)
    assert_same(network, load(theirs.RegNet(CLASSES, stages, group), network), 4, training)


def test_regnet_of_pycls_reads_bgr():
    """Its names bring a node that reverses the channels, after the normalisation in RGB."""
    stages, group = REGNETS["regnet_x_200mf"]
    row = ARCHITECTURES["regnet_x_200mf"]
    graph = row.layouts[0].apply(row.graph(classes=CLASSES, input_shape=(3, 40, 40)))
    network = make_network(graph)
    assert len(set(network.buffers["normalise.mean"])) == 3
    module = load(theirs.RegNet(CLASSES, stages, group, order=-1), network)
    assert_same(network, module, 4, training=False)


def test_mobilenet_v1_of_timm_has_relu6():
    row = ARCHITECTURES["mobilenet_v1"]
    timm, marvis = row.layouts
    graph = row.graph(**timm.settings, classes=CLASSES, width=0.25, input_shape=(3, 40, 40))
    network = make_network(marvis.apply(graph))
    module = load(theirs.MobileNetV1(CLASSES, 0.25, 2, RELU6), network)
    assert_same(network, module, 5, training=True)


def test_mobilenet_v1_for_cifar():
    row = ARCHITECTURES["mobilenet_v1_cifar"]
    graph = row.graph(classes=CLASSES, width=0.25, input_shape=(3, 20, 20))
    network = make_network(ARCHITECTURES["mobilenet_v1"].layouts[1].apply(graph))
    assert_same(network, load(theirs.MobileNetV1(CLASSES, 0.25, 1, RELU), network), 5, True)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_steps_of_fcpts(case):
    network, _ = pair(case, 0.125)
    method = FCPTS(profile="paper", epochs=2, batch_size=5)
    check_steps(network.graph, partial(CASES[case][1], 0.125), method)


@pytest.mark.parametrize("name", REGNETS)
def test_steps_of_fcpts_on_regnet(name):
    stages, group = REGNETS[name]
    graph = ARCHITECTURES[name].graph(classes=CLASSES, input_shape=(3, 40, 40))
    method = FCPTS(profile="paper", epochs=2, batch_size=5)
    check_steps(graph, partial(theirs.RegNet, CLASSES, stages, group), method)


def check_steps(graph, make, method):
    """Two steps, the first of which only warms up."""
    problem, state = begin(graph, method, images=5)
    run = run_theirs(problem, state, method, make)
    generator, start = np.random.default_rng(11), state
    for _ in range(2):
        state = method.advance(problem, state, generator, lambda report: None)
    for name in ("reconstruction_loss", "control_loss", "rates", "thresholds"):
        want = np.array([record[name] for record in run.history])
        assert_close(state.history[name], want, TOLERANCE, name)
    for name, want in run.student.named_parameters():
        assert_close(state.parameters[name], want.detach().numpy(), TOLERANCE, name)
    for name, want in statistics(run.student).items():
        assert_close(state.buffers[name], want, TOLERANCE, name)
    assert_close(state.threshold_parameters, run.learned.detach().numpy(), TOLERANCE)
    moved = [(state.parameters[n] != start.parameters[n]).any() for n in graph.prunable]
    assert all(moved)
