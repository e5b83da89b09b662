"""Modules and autograd functions are checked, and wrong gradients are related to the right ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fcpts_ref.cli import main
from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import (
    assert_gradients_match,
    assert_module_gradients,
    check_module,
    make_module_pair,
)
from fcpts_ref.gradcheck.relations import relations


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def product(x, w, b):
    return x @ w.T + b, (x, w)


RIGHT = {
    "x": lambda dy, x, w: dy @ w,
    "w": lambda dy, x, w: dy.T @ x,
    "b": lambda dy, x, w: dy.sum(axis=0),
}
WRONG = {
    "2 times what is expected": {"x": lambda dy, x, w: 2 * (dy @ w)},
    "the sign is the other one": {"w": lambda dy, x, w: -(dy.T @ x)},
    "the sum over axis 0 is missing": {"b": lambda dy, x, w: dy},
    "the axes are exchanged": {"w": lambda dy, x, w: (dy.T @ x).T},
    "exchanged, \\(1, 0\\)": {"w": lambda dy, x, w: x.T @ dy},
    "0 throughout": {"x": lambda dy, x, w: 0 * x},
    "it is summed over axis 0": {"x": lambda dy, x, w: (dy @ w).sum(axis=0)},
    "axis 1 is reversed": {"x": lambda dy, x, w: (dy @ w)[:, ::-1].copy()},
}


@pytest.mark.parametrize("relation", WRONG)
def test_wrong_gradients_are_told_apart(relation):
    functions = RIGHT | WRONG[relation]
    square = "exchanged, " in relation
    inputs = {
        "x": draw(5, 4, seed=3),
        "w": draw(4 if square else 3, 4, seed=1),
        "b": draw(4 if square else 3, seed=2),
    }

    def backward(dy, cache):
        return tuple(functions[name](dy, *cache) for name in inputs)

    text = "the axes are exchanged" if square else relation
    with pytest.raises(AssertionError, match=text):
        assert_gradients_match(product, backward, inputs)


def test_relations_of_arrays():
    want = draw(3, 4)
    assert next(relations(want, want + 5, 1e-9)).startswith("what is expected plus 5")
    assert next(relations(want, np.roll(want, 1, 0), 1e-9)) == "axis 0 is shifted by +1"
    assert not list(relations(want, draw(3, 4, seed=9), 1e-9))
    assert list(relations(np.zeros(3), np.ones(3), 1e-9)) == [
        "what is expected plus 1 in every element"
    ]


torch = pytest.importorskip("torch")


class Square(torch.autograd.Function):
    """x^2 with a factor in its backward pass."""

    factor = 2.0

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return Square.factor * x * dy


def test_autograd_functions_are_checked(monkeypatch):
    assert_module_gradients(Square.apply, {"x": draw(3, 4)}, methods=("adjoint", "jacobian"))
    monkeypatch.setattr(Square, "factor", 1.0)
    with pytest.raises(AssertionError, match=r"gradient of x.*0\.5 times what is expected"):
        assert_module_gradients(Square.apply, {"x": draw(3, 4)})


class Network(torch.nn.Module):
    """A module with parameters and buffers, and a layer with a backward pass of its own."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3, bias=False)
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x):
        return Square.apply(self.norm(self.linear(x)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_modules_with_parameters_are_checked(dtype, monkeypatch):
    torch.manual_seed(0)
    module, x = Network().to(dtype), torch.randn(6, 4).to(dtype)
    before = {n: b.clone() for n, b in module.named_buffers()}
    findings = check_module(module, {"x": x})
    assert all(finding.ok for finding in findings), [str(f) for f in findings if not f.ok]
    assert {f.input for f in findings} == {"x", *dict(module.named_parameters())}
    assert all(torch.equal(b, before[n]) for n, b in module.named_buffers())
    monkeypatch.setattr(Square, "factor", -2.0)
    wrong = check_module(module, {"x": x})
    assert any("sign" in f.relation for f in wrong if f.input == "norm.bias")


def test_bad_requests_are_refused():
    with pytest.raises(InputError, match="complex"):
        check_module(Square.apply, {"x": draw(3)}, methods=("complex",))
    with pytest.raises(InputError, match="expected one tensor"):
        check_module(lambda x: (x, x), {"x": draw(3)})
    with pytest.raises(InputError, match="rename"):
        make_module_pair(torch.nn.Linear(3, 3), {"weight": draw(2, 3)})
    with pytest.raises(AssertionError, match="changed in place"):
        assert_gradients_match(
            lambda x: (x.__imul__(2), x.copy()), lambda dy, x: 2 * dy, {"x": draw(3)}
        )


def test_pairs_of_a_module_are_checked_from_the_command_line(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np, torch\n"
        "from fcpts_ref.gradcheck import make_module_pair\n"
        "PAIRS = [make_module_pair(torch.nn.Linear(4, 3).double(), {'x': np.ones((2, 4))})]\n"
    )
    assert main(["gradcheck", "--pairs", str(path), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["ok"]
    assert {one["input"] for one in content["comparisons"]} == {"x", "weight", "bias"}
    path.write_text("PAIRS = []\n")
    assert main(["gradcheck", "--pairs", str(path)]) == 2
    assert main(["gradcheck", "--pairs", str(tmp_path / "none.py")]) == 2


def test_inputs_have_names():
    with pytest.raises(InputError, match="expected tensors by name, in a dict"):
        check_module(torch.tanh, torch.ones(2, 3))
