"""The detectors against PyTorch in float64: forward and all gradients, on both engines."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close
from small_networks import make_images, make_network

from fcpts_ref.architectures.registry import ARCHITECTURES
from fcpts_ref.engines.make import make_engine

torch = pytest.importorskip("torch")

from parity.test_architectures import TOLERANCE, assert_gradients  # noqa: E402
from parity.torch_networks import load, statistics  # noqa: E402
from parity.torch_ssd import MobileNetV1SSD, MobileNetV2SSDLite  # noqa: E402

MODULES = {"mobilenet_v1_ssd": MobileNetV1SSD, "mobilenet_v2_ssd_lite": MobileNetV2SSDLite}
OUTPUTS = ("scores", "boxes")


def assert_same(name, engine, width, side, count, training):
    graph = ARCHITECTURES[name].graph(classes=5, width=width, input_shape=(3, side, side))
    network = make_network(graph)
    module = load(MODULES[name](5, width), network).train(training)
    images = make_images(graph, count)
    x = torch.from_numpy(images)
    want = module(x)
    runner = make_engine(graph, engine)
    passed = runner.forward(
        network.parameters, network.buffers, {"images": images}, training=training, keep=True
    )
    for output, tensor in zip(OUTPUTS, want, strict=True):
        assert_close(passed.outputs[output], tensor.detach().numpy(), TOLERANCE, output)
    for statistic, values in statistics(module).items():
        assert_close(passed.buffers[statistic], values, TOLERANCE, statistic)
    rng = np.random.default_rng(0)
    doutputs = {n: rng.standard_normal(t.shape) for n, t in zip(OUTPUTS, want, strict=True)}
    gradients = runner.backward(passed, doutputs)
    parameters = dict(module.named_parameters())
    expected = torch.autograd.grad(
        want, list(parameters.values()), [torch.from_numpy(doutputs[n]) for n in OUTPUTS]
    )
    assert_gradients(gradients, {n: g.numpy() for n, g in zip(parameters, expected, strict=True)})


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("name", MODULES)
def test_narrow(name, engine, training):
    assert_same(name, engine, 0.125, 70, 5, training)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("name", MODULES)
def test_full_size(name, engine):
    assert_same(name, engine, 1.0, 300, 2, False)
