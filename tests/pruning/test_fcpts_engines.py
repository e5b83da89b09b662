"""FCPTS on both engines: the same thresholds, weights and losses."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from commands import passes_with_two_threads
from comparing import assert_close, assert_same_bits
from small_networks import make_images, make_network

from fcpts_ref.architectures.plain import plain
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.pruning.registry import sparsify

if numba.config.DISABLE_JIT:
    pytest.skip("vector intrinsics need the JIT", allow_module_level=True)

from fcpts_ref.engines.numba.jit.threads import available_threads

GRAPHS = {
    "resnet8 A": resnet(8, classes=5, widths=(4, 6, 8), input_shape=(3, 8, 8)),
    "resnet8 B": resnet(8, classes=5, widths=(4, 6, 8), shortcut="B", input_shape=(3, 8, 8)),
    "plain": plain(classes=4, widths=(4, 6), input_shape=(2, 8, 8)),
}
STEPS = 20


def run(graph, engine, dtype=np.float64, threads=None, **settings):
    return sparsify(
        make_network(graph, dtype=dtype),
        make_images(graph, 4 * STEPS, dtype=dtype),
        target=0.8,
        seed=3,
        engine=engine,
        threads=threads,
        epochs=1,
        batch_size=4,
        **settings,
    )


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize(
    "settings",
    [{"profile": "paper"}, {"profile": "released"}, {"profile": "paper", "control": "projection"}],
    ids=["paper", "released", "projection"],
)
def test_a_whole_run_is_the_same(graph, settings):
    want = run(GRAPHS[graph], "numpy", **settings)
    got = run(GRAPHS[graph], "numba", **settings)
    assert len(want.history["total_loss"]) == STEPS
    for name, values in want.history.items():
        assert_close(got.history[name], values, 1e-9, name)
    for name, threshold in want.thresholds.items():
        assert abs(got.thresholds[name] - threshold) <= 1e-9, name
    for kind in ("parameters", "buffers"):
        for name, array in getattr(want.network, kind).items():
            assert_close(getattr(got.network, kind)[name], array, 1e-9, name)
    for name, mask in want.network.masks.items():
        assert_same_bits(got.network.masks[name], mask, name)


@pytest.mark.parametrize("profile", ["paper", "released"])
def test_a_whole_run_does_not_depend_on_threads(profile, request):
    if available_threads() < 2:
        assert passes_with_two_threads(request.node.nodeid)
        return
    runs = [run(GRAPHS["resnet8 A"], "numba", np.float32, n, profile=profile) for n in (1, 2, 2)]
    for other in runs[1:]:
        for name, array in runs[0].network.parameters.items():
            assert_same_bits(other.network.parameters[name], array, name)
        for name, values in runs[0].history.items():
            assert_same_bits(other.history[name], values, name)
