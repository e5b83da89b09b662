"""The gradient checks: right derivatives pass, every kind of wrong one is found and named."""

import numpy as np
import pytest

from fcpts_ref import layers
from fcpts_ref.architectures.plain import plain
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import (
    METHODS,
    Finding,
    Pair,
    assert_gradients_match,
    assert_matches_torch,
    check_all_layers,
    check_gradients,
    compare_with_torch,
    format_table,
    make_network_pair,
    raise_unless_ok,
)
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.spec import equations


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def square_forward(x):
    return x * x, x


def square_backward(dy, x):
    return 2 * x * dy


def test_all_layers_match():
    findings = check_all_layers()
    assert all(finding.ok for finding in findings), format_table(findings)
    assert {finding.pair.split()[0] for finding in findings} >= {
        name.removesuffix("_backward") for name in layers.__all__ if name.endswith("_backward")
    }
    assert "0 failed" in format_table(findings)


@pytest.mark.parametrize("method", METHODS)
def test_a_right_pair_passes(method):
    assert_gradients_match(square_forward, square_backward, {"x": draw(3, 4)}, methods=[method])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "wrong",
    [
        lambda dy, x: 2 * x * dy * (1 + 1e-5),
        lambda dy, x: np.zeros_like(x),
        lambda dy, x: np.full_like(x, np.nan),
        lambda dy, x: -2 * x * dy,
        lambda dy, x: np.where(np.arange(x.size).reshape(x.shape) == 5, 0.0, 2 * x * dy),
    ],
)
def test_wrong_derivatives_are_found(method, wrong):
    with pytest.raises(AssertionError, match=f"gradient of x, {method} check"):
        assert_gradients_match(square_forward, wrong, {"x": draw(3, 4)}, methods=[method])


def test_a_batch_norm_that_a_plain_sum_would_pass_is_found():
    """A sum of batch norm's output does not depend on x: a gradient of zeros would match it."""

    def backward(dy, cache):
        _, dgamma, dbeta = layers.batch_norm_backward(dy, cache)
        return np.zeros_like(dy), dgamma, dbeta

    inputs = {"x": draw(4, 2, 2, 2), "gamma": draw(2), "beta": draw(2)}
    statistics = {"running_mean": np.zeros(2), "running_var": np.ones(2)}
    with pytest.raises(AssertionError, match="gradient of x"):
        assert_gradients_match(
            layers.batch_norm_forward,
            backward,
            inputs | statistics,
            settings={"training": True},
            output=0,
            constant=("running_mean", "running_var"),
        )


@pytest.mark.parametrize(
    ("backward", "message"),
    [
        (lambda dy, x: (2 * x * dy).sum(), r"shape \(\)"),
        (lambda dy, x: (2 * x * dy).astype(np.float32), "float32"),
        (lambda dy, x: (), "none for this input"),
        (lambda dy, x: None, "none for this input"),
    ],
)
def test_the_form_of_a_gradient_is_checked_first(backward, message):
    with pytest.raises(AssertionError, match=message):
        assert_gradients_match(square_forward, backward, {"x": draw(3, 4)})


def test_changing_an_input_in_place_is_found():
    def forward(x):
        x += 1
        return x * x, x

    with pytest.raises(AssertionError, match="changed in place"):
        assert_gradients_match(forward, square_backward, {"x": draw(3)})


def test_changing_the_cotangent_in_place_is_found():
    """An addition passes dvalue to both branches; here a second backward gives the same result."""

    def backward(dy, x):
        dy *= x > 0
        return dy

    with pytest.raises(AssertionError, match="changed dvalue in place"):
        assert_gradients_match(
            lambda x: (np.maximum(x, 0), x), backward, {"x": draw(4, 5)}, kinks={"x": (0.0,)}
        )


def scale_forward(x, s):
    return s * x, (x, s)


def test_a_list_of_gradients_is_read_like_a_tuple():
    inputs = {"x": draw(4, 5), "s": np.array(0.1)}
    for method in METHODS:
        assert_gradients_match(
            scale_forward,
            lambda dy, c: [dy * c[1], (dy * c[0]).sum()],
            inputs,
            methods=[method],
        )
    with pytest.raises(AssertionError, match="gradient of s"):
        assert_gradients_match(scale_forward, lambda dy, c: [dy * c[1], dy.sum()], inputs)


class Unreadable:
    def __array__(self, *arguments, **settings):
        raise RuntimeError("requires grad")


@pytest.mark.parametrize(
    ("backward", "message"),
    [
        (lambda dy, c: (dy * c[1], (dy * c[0]).sum(), None), "3 gradients for 2 inputs"),
        (lambda dy, c: (Unreadable(), (dy * c[0]).sum()), "does not convert to an array"),
        (lambda dy, c: ([[1.0], [1.0, 2.0]], (dy * c[0]).sum()), "does not convert to an array"),
        (lambda dy, c: {"x": dy * c[1]}, "dtype object"),
    ],
)
def test_gradients_of_other_forms_are_named(backward, message):
    with pytest.raises(AssertionError, match=message):
        assert_gradients_match(scale_forward, backward, {"x": draw(4, 5), "s": np.array(0.1)})


@pytest.mark.parametrize("returned", [3.0, np.ones(2), (1, 2, 3)])
def test_a_forward_without_a_cache_is_bad_input(returned):
    with pytest.raises(InputError, match=r"expected \(value, cache\)"):
        assert_gradients_match(lambda x: returned, square_backward, {"x": draw(3)})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("x", "message"), [(np.zeros((2, 3)), "declared kinks"), (np.ones((0, 3)), "no elements")]
)
def test_an_input_of_which_nothing_is_compared_fails(method, x, message):
    with pytest.raises(AssertionError, match=f"nothing was compared: .*{message}"):
        assert_gradients_match(
            layers.relu_forward,
            layers.relu_backward,
            {"x": x},
            kinks={"x": (0.0,)},
            methods=[method],
        )


def test_a_surrogate_without_elements_fails():
    with pytest.raises(AssertionError, match="nothing was compared"):
        assert_gradients_match(
            mask_forward,
            mask_backward,
            {"weight": np.ones(0)},
            settings={"threshold": 0.5},
            surrogates={"weight": lambda dmask, weight: dmask},
        )


def test_a_cache_that_backward_consumes_is_found():
    def backward(dy, x):
        gradient = 2 * x * dy
        x *= 0
        return gradient

    with pytest.raises(AssertionError, match="another gradient"):
        assert_gradients_match(lambda x: (x * x, x.copy()), backward, {"x": draw(3)})


def test_declared_kinks_are_avoided():
    x = np.array([-1.0, 0.0, 1e-6, 2.0])
    inputs = {"x": x}
    for method in ("adjoint", "jacobian"):
        with pytest.raises(AssertionError):
            assert_gradients_match(
                layers.relu_forward, layers.relu_backward, inputs, methods=[method]
            )
        assert_gradients_match(
            layers.relu_forward,
            layers.relu_backward,
            inputs,
            kinks={"x": (0.0,)},
            methods=[method],
        )


def test_kinks_can_be_marked_by_a_function():
    assert_gradients_match(
        lambda x: (np.abs(x), np.sign(x)),
        lambda dy, sign: dy * sign,
        {"x": np.array([0.0, 1.0, -2.0])},
        kinks={"x": lambda x: x == 0},
    )


def mask_forward(weight, *, threshold):
    return equations.mask(weight, threshold), (weight, threshold)


def mask_backward(dmask, cache):
    return -dmask * np.sign(cache[0]) * equations.mask_threshold_gradient(*cache)


def test_surrogates_are_compared_with_their_formula_not_with_differences():
    inputs = {"weight": draw(20)}
    settings = {"threshold": 0.5}
    formula = {"weight": lambda dmask, w: 0.5 * dmask * np.sign(w) * (np.abs(np.abs(w) - 0.5) < 1)}
    assert_gradients_match(
        mask_forward, mask_backward, inputs, settings=settings, surrogates=formula
    )
    with pytest.raises(AssertionError, match="gradient of weight, surrogate check"):
        assert_gradients_match(
            mask_forward,
            lambda d, c: 1.001 * mask_backward(d, c),
            inputs,
            settings=settings,
            surrogates=formula,
        )
    with pytest.raises(AssertionError):
        assert_gradients_match(mask_forward, mask_backward, inputs, settings=settings)


def test_float32_pairs_are_checked_at_their_precision():
    x = draw(5, 4).astype(np.float32)
    assert_gradients_match(square_forward, square_backward, {"x": x}, methods=METHODS)
    with pytest.raises(AssertionError):
        assert_gradients_match(
            square_forward, lambda dy, x: np.float32(1.001) * 2 * x * dy, {"x": x}
        )


def test_scalar_values_and_integer_inputs():
    inputs = {"logits": draw(3, 4), "labels": np.array([0, 3, 1])}
    assert_gradients_match(
        layers.cross_entropy_forward, layers.cross_entropy_backward, inputs, methods=METHODS
    )


def test_comparing_nothing_is_a_failure():
    with pytest.raises(AssertionError, match="no gradient was compared"):
        assert_gradients_match(square_forward, square_backward, {"x": np.arange(3)})
    with pytest.raises(AssertionError):
        raise_unless_ok([])


@pytest.mark.parametrize(
    ("methods", "directions", "inputs"),
    [(["magic"], 3, 1), ([], 3, 1), (["adjoint"], 0, 1), (["adjoint"], 3, 2)],
)
def test_bad_requests_are_refused(methods, directions, inputs):
    pair = Pair("square", square_forward, square_backward, ("x",))
    with pytest.raises(InputError):
        check_gradients(pair, [draw(3)] * inputs, methods=methods, directions=directions)


def test_a_jacobian_too_large_is_refused_before_it_is_filled():
    pair = Pair("square", square_forward, square_backward, ("x",))
    with pytest.raises(InputError, match="Jacobian"):
        check_gradients(pair, [draw(3000)], methods=["jacobian"])


def test_the_same_seed_gives_the_same_findings():
    pair = Pair("square", square_forward, square_backward, ("x",))
    first, second = (check_gradients(pair, [draw(3)], seed=7) for _ in range(2))
    assert first == second
    assert first != check_gradients(pair, [draw(3)], seed=8)


def test_nan_is_never_ok():
    assert not Finding("f", "x", "adjoint", "", 0.0, 0.0, float("nan"), 1.0).ok


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("graph", [
    plain(classes=3, widths=(2, 3), input_shape=(3, 4, 4)),
    resnet(8, classes=3, input_shape=(3, 8, 8), widths=(2, 3, 4)),
], ids=["plain", "resnet"])  # fmt: skip
def test_whole_networks_match_by_complex_step(graph, training):
    network = initialise(graph, np.random.default_rng(0)).astype(np.float64)
    images = np.random.default_rng(1).random((2, *graph.input_shape))
    pair, inputs = make_network_pair(
        graph, network.parameters, network.buffers, images, training=training
    )
    findings = check_gradients(pair, inputs, methods=["complex"], directions=2)
    raise_unless_ok(findings)
    assert {finding.input for finding in findings} == {"images", *network.parameters}


def test_torch_modules_and_functions():
    torch = pytest.importorskip("torch")
    settings = {"stride": (2, 2), "padding": (1, 1)}
    names = ("x", "weight", "bias")
    pair = Pair(
        "convolution", layers.convolution_forward, layers.convolution_backward, names, settings
    )
    inputs = [draw(2, 3, 5, 5), draw(4, 3, 3, 3, seed=1), draw(4, seed=2)]

    def convolve(x, weight, bias):
        return torch.nn.functional.conv2d(x, weight, bias, stride=2, padding=1)

    assert_matches_torch(pair, convolve, inputs)
    found = compare_with_torch(pair, lambda x, w, b: convolve(x, w.flip(3), b), inputs)
    assert not all(finding.ok for finding in found)
    relu = Pair("relu", layers.relu_forward, layers.relu_backward, ("x",))
    assert_matches_torch(relu, torch.nn.ReLU(), [np.array([-1.0, 0.0, 2.0])])


def test_an_autograd_function_with_a_surrogate():
    torch = pytest.importorskip("torch")

    class Mask(torch.autograd.Function):
        @staticmethod
        def forward(ctx, weight):
            ctx.save_for_backward(weight)
            return (weight.abs() > 0.5).to(weight.dtype)

        @staticmethod
        def backward(ctx, dmask):
            (weight,) = ctx.saved_tensors
            inside = ((weight.abs() - 0.5).abs() < 1).to(weight.dtype)
            return 0.5 * dmask * weight.sign() * inside

    pair = Pair(
        "mask",
        mask_forward,
        mask_backward,
        ("weight",),
        {"threshold": 0.5},
        surrogates={"weight": lambda dmask, weight: dmask},
    )
    assert_matches_torch(pair, Mask.apply, [draw(20)])


def test_inputs_of_the_same_seed_hide_no_error():
    x = np.random.default_rng(0).standard_normal((3, 4))  # the cotangent must not be x, too
    with pytest.raises(AssertionError, match=r"the axes are exchanged: \(1, 0\)"):
        assert_gradients_match(
            lambda x, w: (x @ w, (x, w)),
            lambda dy, cache: (dy @ cache[1].T, (cache[0].T @ dy).T),
            {"x": x, "w": np.eye(4)},
        )


def test_every_finding_has_a_text():
    pair = Pair("double", lambda x: (2 * x, None), lambda dy, _: 2 * dy, ("x",))
    for finding in check_gradients(pair, [np.ones(3)]):
        assert "gradient of x" in str(finding)
