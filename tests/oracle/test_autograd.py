"""One cause explains a mistake in the forward pass and the gradients that autograd makes of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_networks import make_images
from traced_networks import BATCH, IMAGE_COUNT, network

from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.trace import record_run
from fcpts_ref.oracle.trace_file import read_trace, write_trace
from fcpts_ref.pruning.fcpts.method import FCPTS

torch = pytest.importorskip("torch")
F = torch.nn.functional
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "trace_torch.py"


def in_the_student(right, wrong):
    """The wrong function where gradients are computed; the trace holds no dense activations."""

    def call(*arguments, **settings):
        needs = [a.requires_grad for a in arguments if isinstance(a, torch.Tensor)]
        return (wrong if any(needs) else right)(*arguments, **settings)

    return call


def circular(x, w, b, stride, padding, **other):
    rows, columns = (padding[0], padding[1]) if isinstance(padding, list) else (padding, padding)
    padded = F.pad(x, (columns, columns, rows, rows), mode="circular")
    return F.conv2d(padded, w, b, stride, **other)


def by_hand(change):
    """Batch norm of the batch, with ``change`` of x, gamma and beta in the student."""

    def batch_norm(x, mean, var, gamma, beta, training):
        F.batch_norm(x, mean, var, gamma, beta, training)  # moves the statistics
        return change(x, gamma[:, None, None], beta[:, None, None])

    return batch_norm


AXES = (0, 2, 3)
MISTAKES = {
    "relu-silu": {"relu": F.silu},
    "relu-gelu": {"relu": F.gelu},
    "relu-leaks=0.1": {"relu": lambda x: F.leaky_relu(x, 0.1)},
    "relu-clipped=1": {"relu": lambda x: x.clamp(0, 1)},
    "convolution-wraps": {"conv2d": circular},
    "kernel-flipped": {"conv2d": lambda x, w, b, **a: F.conv2d(x, w.flip(2, 3), b, **a)},
    "bn-epsilon=0.001": {"batch_norm": lambda *a: F.batch_norm(*a, eps=1e-3)},
    "bn-unbiased": {
        "batch_norm": by_hand(
            lambda x, g, b: (
                g * (x - x.mean(AXES, True)) / (x.var(AXES, keepdim=True) + 1e-5).sqrt() + b
            )
        )
    },
    "bn-per-image": {
        "batch_norm": by_hand(lambda x, g, b: g * F.instance_norm(x) + b),
    },
    "bias-missing": {"linear": lambda x, w, b: F.linear(x, w) + 0 * b},
    "pad-at-end": {
        "pad": lambda x, sides: F.pad(x, (0, 0, 0, 0, 0, sides[4] + sides[5])),
    },
    "kl-swapped": {
        "kl_div": lambda q, p, reduction: F.kl_div(p.log(), q.exp(), reduction=reduction)
    },
    "kl-sum-over-batch": {"kl_div": lambda q, p, reduction: F.kl_div(q, p, reduction="sum")},
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    net = network("residual")
    method = FCPTS(profile="paper", epochs=4, batch_size=BATCH)
    images = make_images(net.graph, IMAGE_COUNT)
    path = tmp_path_factory.mktemp("autograd") / "reference.h5"
    write_trace(path, record_run(net, images, target=0.5, steps=(0, 1), method=method))
    return path


def taken(reference, functions):
    """Take the reference's steps by the example, with other functions of torch.nn.functional."""
    spec = importlib.util.spec_from_file_location("trace_torch", EXAMPLE)
    functions = {n: in_the_student(getattr(F, n), wrong) for n, wrong in functions.items()}
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["F"] = SimpleNamespace(**(vars(F) | functions))
    mine = reference.with_name("mine.h5")
    try:
        module.main(reference, mine)
    finally:
        torch.set_default_dtype(torch.float32)
    return diverge(read_trace(mine), read_trace(reference))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if i % 3 == 0 else pytest.mark.slow) for i, n in enumerate(MISTAKES)],
)
def test_one_cause_explains_value_and_gradients(reference, name):
    finding = taken(reference, MISTAKES[name]).finding
    assert finding is not None
    assert [(one.name, one.with_others) for one in finding.explanations] == [(name, ())]


def test_without_a_mistake_it_agrees(reference):
    assert taken(reference, {}).ok
