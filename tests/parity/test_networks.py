"""Whole networks forward and backward against PyTorch autograd, float64, 1e-10 relative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from comparing import assert_close
from small_networks import make_images, make_network, small_plain, small_resnet

from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.architectures.vision_transformer import vision_transformer
from fcpts_ref.graphs import execution

torch = pytest.importorskip("torch")

from parity.torch_networks import Plain, ResNet, load, statistics  # noqa: E402
from parity.torch_vit import VisionTransformer  # noqa: E402

TOLERANCE = 1e-10
CASES: dict[str, Any] = {
    "resnet8-A": (small_resnet("A"), lambda: ResNet(1, 5, (3, 5, 6), 2, "A")),
    "resnet8-B": (small_resnet("B"), lambda: ResNet(1, 5, (3, 5, 6), 2, "B")),
    "resnet14-A": (
        resnet(14, classes=3, widths=(2, 4, 8), input_shape=(3, 12, 12)),
        lambda: ResNet(2, 3, (2, 4, 8), 3, "A"),
    ),
    "plain": (small_plain(), lambda: Plain(4, (3, 4), 2, 6, True)),
    "transformer": (
        vision_transformer(
            patch=4, features=12, depth=2, heads=3, classes=5, input_shape=(3, 8, 8)
        ),
        lambda: VisionTransformer(8, 4, 12, 2, 3, 5),
    ),
    "plain-bias": (small_plain(batch_norm=False), lambda: Plain(4, (3, 4), 2, 6, False)),
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("case", CASES)
def test_logits_gradients_and_statistics(case, training):
    graph, make = CASES[case]
    network, images = make_network(graph), make_images(graph, 6)
    module = load(make(), network).train(training)
    x = torch.from_numpy(images).requires_grad_()
    theirs = module(x)
    passed = execution.forward(
        graph, network.parameters, network.buffers, {"images": images}, training=training
    )
    assert_close(passed.outputs["logits"], theirs.detach().numpy(), TOLERANCE, "logits")
    for name, want in statistics(module).items():
        assert_close(passed.buffers[name], want, TOLERANCE, name)
    parameters = dict(module.named_parameters())
    for seed in range(3):
        dlogits = np.random.default_rng(seed).standard_normal(passed.outputs["logits"].shape)
        gradients, dinputs = execution.backward(graph, passed, {"logits": dlogits})
        got = gradients | dinputs
        want = torch.autograd.grad(
            theirs, [x, *parameters.values()], torch.from_numpy(dlogits), retain_graph=True
        )
        assert set(got) == {"images", *parameters}
        for name, gradient in zip(["images", *parameters], want, strict=True):
            assert_close(got[name], gradient.numpy(), TOLERANCE, name)


def test_names_are_those_of_the_modules():
    """Equal names allow loading weights without a table of names."""
    for graph, make in CASES.values():
        shapes = {name: tuple(p.shape) for name, p in make().named_parameters()}
        assert shapes == graph.parameter_shapes
