"""Random graphs, whose values have any number of readers, on both engines."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from random_graphs import graphs, scaled_branch
from small_networks import make_images, make_network

from fcpts_ref.engines.make import make_engine

if numba.config.DISABLE_JIT:
    pytest.skip("vector intrinsics need the JIT", allow_module_level=True)


def assert_near(got, want, name):
    scale = max(np.abs(want).max(), 1.0)
    assert np.abs(got - want).max() <= 1e-9 * scale, name


@given(graphs(), st.booleans(), st.booleans(), st.sampled_from((2, 8)), st.integers(0, 2**32 - 1))
@example(scaled_branch(), False, False, 2, 0)
@example(scaled_branch(), True, False, 2, 0)
def test_engines_agree(graph, training, pruned, count, seed):
    network, images = make_network(graph, seed=seed), make_images(graph, count, seed=seed)
    generator = np.random.default_rng(seed)
    parameters = {
        name: array * (generator.random(array.shape) < 0.2)
        if pruned and name in graph.prunable
        else array
        for name, array in network.parameters.items()
    }
    reference, fast = make_engine(graph, "numpy"), make_engine(graph, "numba")
    settings = {"training": training, "sparse": pruned}
    want = reference.forward(parameters, network.buffers, {"images": images}, keep=True, **settings)
    for keep in (False, True):
        got = fast.forward(parameters, network.buffers, {"images": images}, keep=keep, **settings)
        for name, array in want.outputs.items():
            assert_near(got.outputs[name], array, f"{name}, keep={keep}")
        for name, array in want.buffers.items():
            assert_near(got.buffers[name], array, f"{name}, keep={keep}")
    doutputs = {
        name: generator.standard_normal(array.shape) for name, array in want.outputs.items()
    }
    kind = "kept" if pruned else "all"
    gradients = fast.backward(got, doutputs, weight_gradient=kind)
    for name, array in reference.backward(want, doutputs, weight_gradient=kind).items():
        assert_near(gradients[name], array, name)
