"""The derivative of every mistake in the forward pass is that of its value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_networks import classifier, make_images, make_network
from traced_networks import BATCH, IMAGE_COUNT, network

from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle import trace as recording
from fcpts_ref.oracle.evidence import Evidence
from fcpts_ref.oracle.mistakes import control, known, losses, masks, sparse_weights
from fcpts_ref.oracle.mistakes.constant import Constant
from fcpts_ref.oracle.mistakes.forward import BY_OPERATION
from fcpts_ref.oracle.replay import replay
from fcpts_ref.pruning.fcpts.method import FCPTS

STEP = 1e-6


def other_layers():
    """A network with the operations that the residual one lacks."""
    nodes = (
        Node("conv", "convolution", ("images",), dict(CONVOLUTION)),
        Node("relu6", "relu6", ("conv",)),
        Node("max", "max_pool", ("relu6",), {"kernel": 3, "stride": 2, "padding": 1}),
        Node("mean", "average_pool", ("max",), {"kernel": 2, "stride": 1, "padding": 1}),
        Node("flat", "flatten", ("mean",)),
        Node("square", "linear", ("flat",), {"in_features": 48, "out_features": 48}),
        Node("linear", "linear", ("square",), {"in_features": 48, "out_features": 4}),
    )
    return make_network(classifier("other", (2, 6, 6), nodes))


CONVOLUTION = {"in_channels": 2, "out_channels": 3, "kernel": 3, "padding": 1, "bias": True}
NETWORKS = {"residual": lambda: network("residual"), "other": other_layers}


def evidence_of(net, **settings):
    """The evidence of the first step of a run."""
    method = FCPTS(**({"profile": "paper", "epochs": 4, "batch_size": BATCH} | settings))
    images = make_images(net.graph, IMAGE_COUNT)
    setting = recording._make_setting(net, images, 0.5, method)
    generator = np.random.default_rng(0)
    _, inputs = next(iter(recording._run_inputs(setting, images, method, generator)))
    given, _ = replay(setting, inputs)
    return Evidence("rates", given["rates"], given, setting, inputs, {}, given["rates"])


EVIDENCE = {name: evidence_of(make()) for name, make in NETWORKS.items()}
NODES = [
    (kind, node.name) for kind, e in EVIDENCE.items() for node in e.setting.network.graph.nodes
]


def moved(evidence, node, arrays, size):
    """The evidence with the node's input or one of its arrays moved along a direction."""
    given, parameters = dict(evidence.given), dict(evidence.state.parameters)
    images = evidence.inputs.images
    for name, direction in arrays.items():
        if name in evidence.setting.network.graph.inputs:
            images = images + size * direction
        elif f"activation/{name}" in given:
            given[f"activation/{name}"] = given[f"activation/{name}"] + size * direction
        elif f"sparse_weight/{name}" in given:
            given[f"sparse_weight/{name}"] = given[f"sparse_weight/{name}"] + size * direction
        else:
            parameters[name] = parameters[name] + size * direction
    state = replace(evidence.state, parameters=parameters)
    inputs = replace(evidence.inputs, state=state, images=images)
    return replace(evidence, name=f"activation/{node.name}", given=given, inputs=inputs)


def variants(evidence, node):
    for name, variant in BY_OPERATION.get(node.operation, lambda *_: ())(evidence, node):
        yield name, variant.formula(0.3) if isinstance(variant, Constant) else variant()


@pytest.mark.parametrize(("kind", "name"), NODES)
def test_the_gradient_of_every_variant_of_a_node(kind, name):
    evidence, generator = EVIDENCE[kind], np.random.default_rng(5)
    graph = evidence.setting.network.graph
    node = next(n for n in graph.nodes if n.name == name)
    sources = [n for n in node.inputs if n not in graph.inputs]
    shapes = {n: np.shape(evidence.given[f"activation/{n}"]) for n in sources}
    values = {f"activation/{n}": generator.standard_normal(s) for n, s in shapes.items()}
    evidence = replace(evidence, given={**evidence.given, **values})  # off the kinks
    here = moved(evidence, node, {}, 0.0)
    shapes |= {n: evidence.inputs.images.shape for n in node.inputs if n in graph.inputs}
    stored = {n: a.shape for n, a in evidence.state.parameters.items()}
    shapes |= {n: s for n, s in stored.items() if n.rpartition(".")[0] == name}
    directions = {n: generator.standard_normal(shape) for n, shape in shapes.items()}
    ends = [list(variants(moved(evidence, node, directions, s), node)) for s in (-STEP, STEP)]
    for (variant, computed), *(low, high) in zip(list(variants(here, node)), *ends, strict=True):
        if variant in ("weight-dense", "bn-updated-statistics"):
            continue  # it reads W, which M W does not move; statistics that carry no gradient
        dy = generator.standard_normal(computed.value.shape)
        numeric = (dy * (high[1].value - low[1].value)).sum() / (2 * STEP)
        dinputs, dstored = computed.backward(dy)
        exact = sum((dx * directions[n]).sum() for n, dx in zip(node.inputs, dinputs, strict=True))
        exact += sum((d * directions[f"{name}.{short}"]).sum() for short, d in dstored.items())
        assert exact == pytest.approx(numeric, rel=1e-4, abs=1e-6), variant
        assert known(variant) is not None


LOGITS = replace(EVIDENCE["residual"], name="reconstruction_loss")


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_of_every_loss(temperature):
    setting = LOGITS.with_choices({"temperature": temperature})
    direction = np.random.default_rng(6).standard_normal(LOGITS.given["sparse_logits"].shape)

    def at(size):
        logits = LOGITS.given["sparse_logits"] + size * direction
        return list(
            losses._losses(
                replace(LOGITS, setting=setting, given={**LOGITS.given, "sparse_logits": logits})
            )
        )

    for (name, _, dlogits), low, high in zip(at(0.0), at(-STEP), at(STEP), strict=True):
        numeric = (high[1] - low[1]) / (2 * STEP)
        assert (dlogits * direction).sum() == pytest.approx(numeric, rel=1e-5, abs=1e-8), name
        assert known(name) is not None


def test_the_derivative_of_every_control_loss():
    evidence, generator = EVIDENCE["residual"], np.random.default_rng(7)
    r = generator.uniform(0.1, 0.9, len(evidence.layers))
    direction = generator.standard_normal(r.shape)

    def at(size):
        given = {**evidence.given, "rates": r + size * direction}
        return list(control._controls(replace(evidence, given=given)))

    for (name, _, derivative), low, high in zip(at(0.0), at(-STEP), at(STEP), strict=True):
        numeric = (high[1] - low[1]) / (2 * STEP)
        assert (derivative * direction).sum() == pytest.approx(numeric, rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize("direct", [True, False])
def test_the_derivative_of_every_threshold(direct):
    s = np.linspace(-3, 3, 7)
    at = [list(masks._functions(s + size, direct)) for size in (0.0, -STEP, STEP)]
    for (name, _, slope), low, high in zip(*at, strict=True):
        np.testing.assert_allclose(slope, (high[1] - low[1]) / (2 * STEP), atol=1e-8, err_msg=name)


def test_the_derivatives_of_every_masked_weight():
    evidence = EVIDENCE["residual"]
    item = evidence.layers[1]
    here = replace(evidence, name=f"sparse_weight/{item}")
    generator = np.random.default_rng(8)
    dW, dM = (generator.standard_normal(here.weights[item].shape) for _ in range(2))

    def at(size_w, size_m):
        parameters = {**here.state.parameters, item: here.weights[item] + size_w * dW}
        state = replace(here.state, parameters=parameters)
        t = here.given["thresholds"] + 1e-3  # off the weights
        given = {**here.given, f"mask/{item}": 0.7 + size_m * dM, "thresholds": t}
        return list(
            sparse_weights._weights(
                replace(here, inputs=replace(here.inputs, state=state), given=given)
            )
        )

    constant = {"weight-rescaled", "weight-norm-kept"}  # their scale is taken for a constant
    for (name, _, by_weight, _), low, high in zip(at(0, 0), at(-STEP, 0), at(STEP, 0), strict=True):
        if name not in {"weight-norm-kept", "dense-weight-masked"}:
            numeric = (high[1] - low[1]) / (2 * STEP)
            np.testing.assert_allclose(by_weight * dW, numeric, atol=1e-7, err_msg=name)
    for (name, _, _, by_mask), low, high in zip(at(0, 0), at(0, -STEP), at(0, STEP), strict=True):
        if name not in constant:
            numeric = (high[1] - low[1]) / (2 * STEP)
            np.testing.assert_allclose(by_mask * dM, numeric, atol=1e-7, err_msg=name)
