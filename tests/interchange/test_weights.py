"""Networks of graphs of one's own, and the example that prunes one."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from small_networks import make_images, make_network, small_plain

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import global_rate
from fcpts_ref.interchange.weights import load_weights
from fcpts_ref.storage.network_files import read_network

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own_network.py"


def arrays_of(network):
    arrays = {**network.parameters, **network.buffers}
    return {n: a for n, a in arrays.items() if not n.startswith("normalise")}


def test_the_example(tmp_path, capsys):
    main = runpy.run_path(str(EXAMPLE))["main"]
    graph = main.__globals__["my_graph"]()
    network = make_network(graph, dtype=np.float32)
    np.savez(tmp_path / "weights.npz", **arrays_of(network))
    np.save(tmp_path / "images.npy", make_images(graph, 64, dtype=np.float32))
    paths = [str(tmp_path / name) for name in ("weights.npz", "images.npy", "sparse.h5")]
    main(*paths)
    assert "conv1.weight" in capsys.readouterr().out
    sparse, _ = read_network(tmp_path / "sparse.h5")
    assert sparse.graph == graph
    total = sum(network.sizes.values())
    assert round(global_rate(sparse) * total) == round(0.9 * total)
    assert set(sparse.masks) == set(graph.prunable)


def test_the_example_is_short():
    body = EXAMPLE.read_text(encoding="utf-8").split('"""', 2)[2]
    code = [line for line in body.splitlines() if line.strip()]
    assert len(code) <= 30


def test_arrays_and_constants():
    network = make_network(small_plain())
    found = load_weights(network.graph, arrays_of(network), mean=(0.1, 0.2), std=0.5)
    assert all(np.array_equal(found.parameters[n], a) for n, a in network.parameters.items())
    assert found.buffers["normalise.mean"].tolist() == [0.1, 0.2]
    assert found.buffers["normalise.std"].tolist() == [0.5, 0.5]
    assert load_weights(network.graph, arrays_of(network)).buffers["normalise.std"][0] == 1


def test_a_state_dict_of_pytorch():
    torch = pytest.importorskip("torch")
    network = make_network(small_plain(), dtype=np.float32)
    state = {f"module.{n}": torch.from_numpy(a.copy()) for n, a in arrays_of(network).items()}
    state["module.bn1.num_batches_tracked"] = torch.tensor(3)
    found = load_weights(network.graph, state)
    assert all(np.array_equal(found.parameters[n], a) for n, a in network.parameters.items())
    state["module.conv1.weight"].requires_grad_()
    with pytest.raises(InputError, match="without gradients"):
        load_weights(network.graph, state)


def test_arrays_that_do_not_fit():
    arrays = arrays_of(make_network(small_plain()))
    for change, message in (
        (
            {"conv1.weight": np.zeros((3, 2, 5, 5))},
            r"the dictionary does not fit .* of another shape",
        ),
        ({"more": np.zeros(1)}, r"1 left over \(more\)"),
        ({"linear.bias": "text"}, "of another shape"),
    ):
        with pytest.raises(InputError, match=message):
            load_weights(small_plain(), arrays | change)
    three = {"mean": (0.1, 0.2, 0.3)}
    with pytest.raises(InputError, match=r"expected 2 finite numbers each"):
        load_weights(small_plain(), arrays, **three)
    del arrays["bn1.bias"]
    with pytest.raises(InputError, match=r"1 missing \(bn1.bias\)"):
        load_weights(small_plain(), arrays)
    # The arrays come first: where they do not fit, no normalisation would.
    with pytest.raises(InputError, match=r"1 missing \(bn1.bias\)"):
        load_weights(small_plain(), arrays, **three)
