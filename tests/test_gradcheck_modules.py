"""Modules and autograd functions are checked, and wrong gradients are related to the right ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fcpts_ref import layers
from fcpts_ref.cli import main
from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import (
    Pair,
    assert_gradients_match,
    assert_matches_torch,
    assert_module_gradients,
    check_module,
    compare_with_torch,
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


PAIR_FILE = """
import os, sys, numpy as np
from fcpts_ref.gradcheck import Pair

def square(x): return x * x, x
def backward(dy, x): {body}; return 2 * x * dy

PAIRS = [(Pair("square", {forward}, backward, ("x",)), [np.ones((2, 3))])]
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit(0)", "gradient of x: raised SystemExit: 0"),
        ("os._exit(0)", "gradient of x: raised SystemExit: 0"),
        ("raise KeyError('k')", "raised KeyError: 'k' (mine.py, line 6)"),
        ("dy / 0", ""),
    ],
)
def test_a_pair_that_ends_the_process_or_fails_is_a_failed_check(body, said, tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(PAIR_FILE.format(body=body, forward="square"))
    with np.errstate(all="ignore"):
        assert main(["gradcheck", "--pairs", str(path)]) == (1 if said else 0)
    assert said in capsys.readouterr().out


def test_a_forward_that_ends_the_process_is_a_failed_check(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(PAIR_FILE.format(body="pass", forward="lambda x: sys.exit(0)"))
    assert main(["gradcheck", "--pairs", str(path)]) == 1
    assert "square: value: raised SystemExit: 0" in capsys.readouterr().out
    path.write_text("import os\nos._exit(0)\n")
    assert main(["gradcheck", "--pairs", str(path)]) == 2


def test_a_pair_that_prints_does_not_write_into_the_report(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(PAIR_FILE.format(body="print('noise')", forward="square"))
    assert main(["gradcheck", "--pairs", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]


def test_the_class_of_an_autograd_function_stands_for_its_apply():
    assert_module_gradients(Square, {"x": draw(3, 4)})
    with pytest.raises(InputError, match="an object, not its class"):
        assert_module_gradients(torch.nn.ReLU, {"x": draw(3, 4)})


def convolution_block():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3),
        torch.nn.BatchNorm2d(3),
        torch.nn.Flatten(),
        torch.nn.Linear(12, 2),
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("methods", [("adjoint",), ("jacobian",)])
def test_a_bias_before_batch_norm_whose_gradient_is_rounding_is_right(dtype, methods):
    """The derivative is 0; both sides are nothing but rounding, of different size."""
    module = convolution_block().to(getattr(torch, dtype))
    x = draw(2, 2, 4, 4).astype(dtype)
    assert_module_gradients(module, {"x": x}, methods=methods)


def test_rounding_hides_no_wrong_gradient():
    def backward(dy, x):
        return 2 * x * dy * (1 + 1e-4)

    with pytest.raises(AssertionError, match=r"1\.0001 times"):
        assert_gradients_match(lambda x: (x * x + 100, x), backward, {"x": draw(4, 5)})
    with pytest.raises(AssertionError, match="adjoint"):  # a derivative of 0, and far from it
        assert_gradients_match(lambda x: (0 * x + 1, x), lambda dy, x: 1e-6 * dy, {"x": draw(4, 5)})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_dropout_drops_the_same_in_every_call(dtype):
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5))
    before = torch.get_rng_state()
    assert_module_gradients(
        module.to(getattr(torch, dtype)), {"x": draw(6, 4).astype(dtype)}, methods=("adjoint",)
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_a_function_with_random_numbers_of_its_own_is_named():
    generator = np.random.default_rng(0)
    with pytest.raises(AssertionError, match=r"a second call .* gives another one; fix the random"):
        assert_gradients_match(
            lambda x: (x * generator.random(), x), lambda dy, x: dy, {"x": draw(3)}
        )


@pytest.mark.parametrize("value", [1j, 1])
def test_a_value_that_is_not_real_and_floating_fails(value):
    with pytest.raises(AssertionError, match="expected real floating numbers"):
        assert_gradients_match(
            lambda x: ((x * value).astype(np.asarray(value).dtype), x),
            lambda dy, x: dy.real.astype(np.float64),
            {"x": draw(3)},
        )


def test_a_number_is_an_input_as_an_array_is():
    with pytest.raises(AssertionError, match="gradient of s"):
        assert_gradients_match(
            lambda x, s: (x * s, (x, s)),
            lambda dy, c: (dy * c[1], dy.sum()),
            {"x": draw(3), "s": 0.5},
        )


def test_modules_that_return_several_values_are_checked_at_one():
    module = torch.nn.LSTM(4, 3).double()
    with pytest.raises(InputError, match="choose one of them by output=0, 1"):
        assert_module_gradients(module, {"x": draw(5, 4)})
    assert_module_gradients(module, {"x": draw(5, 4)}, output=0)


def test_a_module_may_change_its_input_in_place_as_inplace_relu_does():
    assert_module_gradients(torch.nn.ReLU(inplace=True), {"x": draw(5, 4)}, kinks={"x": (0.0,)})


class WrongShape(Square):
    @staticmethod
    def backward(ctx, dy):
        return dy.sum(0)


@pytest.mark.parametrize(
    ("function", "x", "error", "match"),
    [
        (torch.nn.Linear(4, 3), draw(2, 4), InputError, r"by module\.double\(\)"),
        (torch.nn.Linear(4, 3).double(), draw(2, 5), InputError, r"inputs were float64 \(2, 5\)"),
        (torch.nn.Linear(4, 3).half(), torch.ones(2, 4).half(), InputError, "too coarse"),
        (torch.nn.Linear(4, 3), torch.ones(2, 4).bfloat16(), InputError, "float64 or float32"),
        (torch.nn.Linear(4, 3, device="meta"), draw(2, 4), InputError, "does not convert"),
        (lambda x: x.argmax(1), draw(2, 4), InputError, "real floating"),
        (torch.tanh, np.full((2, 2), np.nan), InputError, "not finite"),
        (WrongShape.apply, draw(2, 4), AssertionError, "gradient of x: raised RuntimeError"),
        (lambda x: x.detach(), draw(2, 4), AssertionError, "0 throughout"),
    ],
)  # fmt: skip
def test_what_fails_is_named_in_one_sentence(function, x, error, match):
    with pytest.raises(error, match=match):
        assert_module_gradients(function, {"x": x})


LINEAR = Pair("linear", layers.linear_forward, layers.linear_backward, ("x", "weight", "bias"))


def test_a_module_with_parameters_is_compared_with_a_pair():
    inputs = {"x": draw(6, 4), "weight": draw(3, 4, seed=1), "bias": draw(3, seed=2)}
    findings = compare_with_torch(LINEAR, torch.nn.Linear(4, 3), inputs)
    assert [f.input for f in findings] == ["(value)", *inputs]
    assert all(f.ok for f in findings)
    findings = compare_with_torch(LINEAR, torch.nn.Linear(4, 3), list(inputs.values()), seed=1)
    assert all(f.ok for f in findings)
    wrong = Pair("w", LINEAR.forward, lambda d, c: (*LINEAR.backward(d, c)[:2], d[0]), LINEAR.names)
    assert [
        f.input for f in compare_with_torch(wrong, torch.nn.Linear(4, 3), inputs) if not f.ok
    ] == ["bias"]


def test_comparisons_with_torch_that_cannot_be_made_say_why():
    inputs = {"x": draw(6, 4), "weight": draw(3, 4, seed=1), "bias": draw(3, seed=2)}
    scaled = torch.nn.Linear(4, 3)
    scaled.factor = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(InputError, match="parameter 'factor' that linear has no input for"):
        compare_with_torch(LINEAR, scaled, inputs)
    square = Pair("square", lambda x: (x * x, x), lambda dy, x: 2 * x * dy, ("x",))
    with pytest.raises(InputError, match="got 2 inputs; expected one for each of x"):
        compare_with_torch(square, Square, [draw(3), draw(3)])
    with pytest.raises(InputError, match="no input of square is an array"):
        compare_with_torch(square, Square, [[1.0, 2.0]])
    with pytest.raises(InputError, match="choose one of them by output"):
        compare_with_torch(square, lambda x: (x * x, x), [draw(3)])
    assert all(f.ok for f in compare_with_torch(square, lambda x: (x, x * x), [draw(3)], output=1))
    with pytest.raises(
        AssertionError, match=r"square: value: it has shape \(3,\); expected \(2,\)"
    ):
        assert_matches_torch(square, lambda x: x[:2] ** 2, [draw(3)])
    with pytest.raises(AssertionError, match=r"the pair gives .* PyTorch gives 0\.0"):
        assert_matches_torch(square, lambda x: (x * x).detach(), [draw(3)])
