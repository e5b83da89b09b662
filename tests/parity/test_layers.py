"""Every layer forward and backward against PyTorch autograd, float64, 1e-10 relative."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close

from fcpts_ref import layers

torch = pytest.importorskip("torch")
F = torch.nn.functional
TOLERANCE = 1e-10


def draw(*shape, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal(shape)


def compare(ours, theirs, inputs, cotangents=(1, 2, 3)):
    """Compare (forward, backward) of this project with a function of PyTorch tensors."""
    forward, backward = ours
    value, cache = forward(*inputs)
    tensors = [torch.from_numpy(x).requires_grad_() for x in inputs]
    output = theirs(*tensors)
    assert_close(value, output.detach().numpy(), TOLERANCE, "value")
    for seed in cotangents:
        dvalue = np.asarray(draw(*np.shape(value), seed=seed))
        want = torch.autograd.grad(output, tensors, torch.from_numpy(dvalue), retain_graph=True)
        got = backward(dvalue if dvalue.ndim else dvalue[()], cache)
        got = [g for g in (got if isinstance(got, tuple) else (got,)) if g is not None]
        assert len(got) == len(want)
        for i, (g, w) in enumerate(zip(got, want, strict=True)):
            assert_close(g, w.numpy(), TOLERANCE, f"gradient {i}")


def bind(name, **settings):
    def forward(*inputs):
        return getattr(layers, f"{name}_forward")(*inputs, **settings)

    return forward, getattr(layers, f"{name}_backward")


@pytest.mark.parametrize(
    ("C", "K", "kernel", "settings"),
    [
        (3, 4, (3, 3), {"padding": 1}),
        (3, 4, (3, 3), {"padding": 1, "stride": 2}),
        (4, 6, (3, 2), {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)}),
        (4, 6, (3, 3), {"groups": 2, "padding": 1}),
        (4, 4, (3, 3), {"groups": 4, "dilation": 2, "padding": 2}),
        (4, 8, (3, 3), {"groups": 4}),
        (5, 3, (1, 1), {"stride": 2}),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_convolution(C, K, kernel, settings, bias):
    weight = draw(K, C // settings.get("groups", 1), *kernel, seed=1)
    inputs = [draw(3, C, 7, 8), weight] + ([draw(K, seed=2)] if bias else [])
    compare(bind("convolution", **settings), lambda *t: F.conv2d(*t, **settings), inputs)


@pytest.mark.parametrize(
    ("kernel", "settings"),
    [
        ((3, 3), {"padding": (0, 1, 2, 3)}),
        ((3, 3), {"padding": (0, 0, 1, 1), "stride": 2}),
        ((2, 5), {"padding": (1, 2, 0, 4), "stride": (1, 2), "dilation": (2, 1), "groups": 2}),
    ],
)
def test_convolution_with_four_paddings(kernel, settings):
    """Against F.pad, which takes (left, right, top, bottom)."""
    weight = draw(4, 4 // settings.get("groups", 1), *kernel, seed=1)
    top, left, bottom, right = settings["padding"]
    rest = {name: value for name, value in settings.items() if name != "padding"}
    compare(
        bind("convolution", **settings),
        lambda x, w, b: F.conv2d(F.pad(x, (left, right, top, bottom)), w, b, **rest),
        [draw(2, 4, 7, 8), weight, draw(4, seed=2)],
    )


@pytest.mark.parametrize("x", [(4, 5), (2, 3, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias, x):
    inputs = [draw(*x), draw(3, 5, seed=1)] + ([draw(3, seed=2)] if bias else [])
    compare(bind("linear"), F.linear, inputs)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("momentum", [0.1, 0.5])
def test_batch_norm(training, momentum):
    """Values, gradients and the running statistics."""
    x, gamma, beta = draw(4, 3, 5, 2, scale=3), draw(3, seed=1), draw(3, seed=2)
    mean, var = draw(3, seed=3), np.array([0.5, 1.0, 2.0])
    settings = {"training": training, "momentum": momentum}
    stats = [torch.from_numpy(a.copy()) for a in (mean, var)]

    def forward(x, gamma, beta):
        (y, *new), cache = layers.batch_norm_forward(x, gamma, beta, mean, var, **settings)
        statistics.extend(new)
        return y, cache

    statistics = []
    compare(
        (forward, layers.batch_norm_backward),
        lambda x, gamma, beta: F.batch_norm(x, *stats, gamma, beta, eps=1e-5, **settings),
        [x, gamma, beta],
    )
    for got, want in zip(statistics, stats, strict=True):
        assert_close(got, want.numpy(), TOLERANCE)


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel": 2},
        {"kernel": (2, 3), "stride": (1, 2)},
        {"kernel": 3, "stride": 2, "padding": 1},
        {"kernel": 3, "stride": 1, "padding": (1, 0)},
        {"kernel": 2, "stride": 2, "ceil_mode": True},
        {"kernel": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        {"kernel": (3, 2), "stride": (3, 3), "padding": (1, 1), "ceil_mode": True},
        {"kernel": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    ],
)
@pytest.mark.parametrize("kind", ["max", "average"])
def test_pooling(settings, kind):
    function = {"max": F.max_pool2d, "average": F.avg_pool2d}[kind]
    theirs = {"kernel_size": settings["kernel"]} | settings
    del theirs["kernel"]
    compare(bind(f"{kind}_pool", **settings), lambda x: function(x, **theirs), [draw(2, 3, 7, 8)])


@pytest.mark.parametrize("ceil_mode", [True, False])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (2, 3, 1), (3, 1, 1)])
def test_average_pooling_without_its_padding(kernel, stride, padding, ceil_mode):
    shared = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    shared |= {"count_include_pad": False}
    compare(
        bind("average_pool", kernel=kernel, **shared),
        lambda x: F.avg_pool2d(x, kernel, **shared),
        [draw(2, 3, 7, 8)],
    )


@pytest.mark.parametrize("ceil_mode", [True, False])
def test_max_pooling_with_dilation(ceil_mode):
    shared = {"stride": (2, 1), "padding": 1, "dilation": (2, 3), "ceil_mode": ceil_mode}
    compare(
        bind("max_pool", kernel=(3, 2), **shared),
        lambda x: F.max_pool2d(x, (3, 2), **shared),
        [draw(2, 3, 9, 8)],
    )


def test_max_pooling_ties():
    x = np.round(draw(2, 3, 6, 6))
    compare(bind("max_pool", kernel=2), lambda x: F.max_pool2d(x, 2), [x])


def test_global_pooling():
    compare(bind("global_average_pool"), lambda x: x.mean(dim=(2, 3)), [draw(2, 3, 4, 5)])


@pytest.mark.parametrize("name", ["relu", "relu6"])
def test_activations_and_their_kinks(name):
    x = 4 * draw(3, 4, 5, 2)
    x.flat[:6] = [0.0, -0.0, 6.0, 6.5, 1e-300, -1e-300]
    compare(bind(name), getattr(F, name), [x])


@pytest.mark.parametrize("scale", [1, 30])
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "silu"])
def test_smooth_activations(name, scale):
    compare(bind(name), getattr(F, name), [draw(3, 4, 5, 2, scale=scale)])


@pytest.mark.parametrize("scale", [1, 30])
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate, scale):
    settings = {"approximate": approximate}
    compare(bind("gelu", **settings), lambda x: F.gelu(x, **settings), [draw(3, 4, scale=scale)])


def test_activations_in_pieces():
    """Kinks included where PyTorch and this project choose alike.

    F.hardsigmoid differentiates with 1/6 in float32, whatever the dtype.
    """
    x = 4 * draw(3, 4, 5, 2)
    compare(bind("hard_swish"), F.hardswish, [x])
    x.flat[:4] = [3.0, -3.0, 0.0, 5.0]
    compare(bind("hard_sigmoid"), lambda x: F.relu6(x + 3) / 6, [x])
    compare(bind("leaky_relu", slope=0.2), lambda x: F.leaky_relu(x, 0.2), [x])
    compare(bind("clip", low=-3.0, high=5.0), lambda x: F.hardtanh(x, -3, 5), [x])


def test_dropout_is_the_identity():
    compare(bind("dropout", rate=0.3), lambda x: F.dropout(x, 0.3, training=False), [draw(3, 4)])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3, 4, 5), (2, 3, 4, 5)),
        ((2, 3, 4, 5), (2, 3, 1, 1)),
        ((2, 1, 4, 1), (2, 3, 1, 5)),
        ((1, 3, 4, 5), (1, 1, 1, 1)),
    ],
)
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
def test_arithmetic(name, a, b):
    inputs = [draw(*a), 0.5 + np.abs(draw(*b, seed=1))]
    compare(bind(name), getattr(torch, name), inputs)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
def test_arithmetic_of_different_ranks(name):
    """PyTorch would align the batch with another axis, so it is given the aligned shape."""
    inputs = [draw(2, 3, 4, 5), 0.5 + np.abs(draw(2, 5, seed=1))]
    function = getattr(torch, name)
    compare(bind(name), lambda a, b: function(a, b.reshape(2, 1, 1, 5)), inputs)
    compare(bind(name), lambda b, a: function(b.reshape(2, 1, 1, 5), a), inputs[::-1])


def test_mean_concat_slice_pad():
    x = draw(2, 3, 4, 5)
    compare(bind("mean", axes=(1, 2)), lambda x: x.mean((2, 3), keepdim=True), [x])
    compare(bind("mean", axes=(-3,), keepdims=False), lambda x: x.mean(1), [x])
    others = [x, draw(2, 1, 4, 5, seed=1), draw(2, 2, 4, 5, seed=2)]
    compare(bind("concat", axis=0), lambda *t: torch.cat(t, 1), others)
    compare(bind("slice", axis=-1, start=1, stop=5, step=2), lambda x: x[..., 1:5:2], [x])
    backwards = {"axis": 1, "start": -1, "stop": -9, "step": -2}
    compare(bind("slice", **backwards), lambda x: x.flip(2)[:, :, ::2], [x])
    sides = {"pads": (1, 0, 2, 0, 3, 1), "value": 0.5}
    compare(bind("pad", **sides), lambda x: F.pad(x, (2, 1, 0, 3, 1, 0), value=0.5), [x])


@pytest.mark.parametrize("size", [(7, 3), (8, 10), (2, 5), (4, 5)])
def test_resize(size):
    """By the names that ``torch.onnx.export`` gives PyTorch's conventions."""
    x = draw(2, 3, 4, 5)
    half = {"coordinate_transformation_mode": "pytorch_half_pixel", "mode": "bilinear"}
    corners = half | {"coordinate_transformation_mode": "align_corners"}
    nearest = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    exact = {"nearest_mode": "round_prefer_ceil"}
    for settings, theirs in (
        (half, {"mode": "bilinear"}),
        (corners, {"mode": "bilinear", "align_corners": True}),
        (nearest, {"mode": "nearest"}),
        (exact, {"mode": "nearest-exact"}),
    ):
        compare(
            bind("resize", size=size, **settings),
            lambda x, theirs=theirs: F.interpolate(x, size=size, **theirs),
            [x],
        )


@pytest.mark.parametrize("factor", [1.7, 0.6])
def test_resize_by_a_factor(factor):
    """The factor, not the ratio of the sizes, places the pixels."""
    x = draw(2, 3, 7, 5)
    size = (int(7 * factor), int(5 * factor))
    settings = {"size": size, "scales": (factor, factor), "mode": "bilinear"}
    compare(
        bind("resize", **settings),
        lambda x: F.interpolate(x, scale_factor=factor, mode="bilinear"),
        [x],
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name):
    compare(bind(name), lambda x: getattr(F, name)(x, dim=-1), [draw(4, 6, scale=5)])


@pytest.mark.parametrize("axis", [0, 1, 2, -2])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_over_any_axis(name, axis):
    dim = axis + 1 if axis >= 0 else axis
    x = draw(2, 3, 4, 5, scale=3)
    compare(bind(name, axis=axis), lambda x: getattr(F, name)(x, dim=dim), [x])


@pytest.mark.parametrize(
    ("a", "b", "expanded"),
    [
        ((2, 3, 4), (2, 4, 5), None),
        ((2, 3, 3, 4), (2, 3, 4, 5), None),
        ((2, 1, 3, 4), (2, 3, 4, 2), None),
        ((2, 3, 3, 4), (2, 4, 2), (2, 1, 4, 2)),
    ],
)
def test_matmul(a, b, expanded):
    compare(
        bind("matmul"),
        lambda a, b: a @ b.reshape(expanded or b.shape),
        [draw(*a), draw(*b, seed=1)],
    )


def test_reshape_and_transpose():
    x = draw(2, 3, 4, 5)
    compare(bind("reshape", shape=(5, -1)), lambda x: x.reshape(2, 5, -1), [x])
    compare(bind("transpose", permutation=(2, 0, 1)), lambda x: x.permute(0, 3, 1, 2), [x])
    compare(bind("flatten", axis=1), lambda x: x.flatten(2), [x])


@pytest.mark.parametrize("shape", [(5,), (4, 5), (3, 4, 5)])
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(shape, affine):
    inputs = [draw(2, 3, 4, 5, scale=3)]
    inputs += [1 + draw(*shape, seed=1), draw(*shape, seed=2)] if affine else []
    compare(
        bind("layer_norm", shape=shape, epsilon=1e-3),
        lambda x, *parameters: F.layer_norm(x, shape, *parameters, eps=1e-3),
        inputs,
    )


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize(
    ("q", "k", "v"), [((2, 5, 8),) * 3, ((2, 3, 8), (2, 4, 8), (2, 4, 12)), ((1, 1, 8),) * 3]
)
def test_attention(heads, q, k, v):
    def theirs(*arrays):
        split = [x.unflatten(2, (heads, -1)).transpose(1, 2) for x in arrays]
        return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)

    inputs = [draw(*q, scale=3), draw(*k, seed=1), draw(*v, seed=2)]
    compare(bind("attention", heads=heads), theirs, inputs)


def test_stored_arrays():
    x, token, position = draw(2, 3, 4), draw(4, seed=1), draw(3, 1, seed=2)
    compare(
        bind("class_token"),
        lambda x, token: torch.cat([token.expand(2, 1, 4), x], dim=1),
        [x, token],
    )
    compare(bind("add_parameter"), torch.add, [x, position])
    compare(bind("multiply_parameter"), torch.mul, [x, position])
    compare(bind("add_parameter"), lambda x, p: x[:, None] + p, [draw(2, 4), position])
    compare(bind("multiply_parameter"), lambda x, p: x[:, None] * p, [draw(2, 4), position])


def test_cross_entropy():
    labels = np.array([0, 5, 2, 2])
    compare(
        (lambda x: layers.cross_entropy_forward(x, labels), layers.cross_entropy_backward),
        lambda x: F.cross_entropy(x, torch.from_numpy(labels)),
        [draw(4, 6, scale=5)],
    )


@pytest.mark.parametrize("T", [1.0, 4.0])
def test_kl_divergence(T):
    def theirs(dense, sparse):
        log_p, log_q = F.log_softmax(dense / T, dim=1), F.log_softmax(sparse / T, dim=1)
        return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * T**2

    compare(bind("kl_divergence", temperature=T), theirs, [draw(4, 6), draw(4, 6, seed=1)])


def test_option_a_shortcut():
    def ours(x):
        y, cache = layers.subsample_forward(x, stride=2)
        z, pad = layers.zero_pad_forward(y, before=1, after=2)
        return z, (cache, pad)

    def back(dz, caches):
        return layers.subsample_backward(layers.zero_pad_backward(dz, caches[1]), caches[0])

    compare(
        (ours, back), lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2)), [draw(2, 3, 5, 4)]
    )


def test_add_flatten_normalise():
    compare(bind("add"), torch.add, [draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)])
    compare(bind("flatten"), lambda x: x.flatten(1), [draw(2, 3, 4, 5)])
    mean, std = draw(3, seed=1), np.array([0.5, 1.0, 2.0])
    compare(
        (lambda x: layers.normalise_forward(x, mean, std), layers.normalise_backward),
        lambda x: (
            (x - torch.from_numpy(mean)[:, None, None]) / torch.from_numpy(std)[:, None, None]
        ),
        [draw(2, 3, 4, 5)],
    )


def test_every_layer_is_compared_here():
    import inspect
    import sys

    source = inspect.getsource(sys.modules[__name__])
    for name in layers.__all__:
        if name.endswith("_forward"):
            kind = name.removesuffix("_forward")
            quoted = {f'"{kind}"', f"layers.{name}", f'"{kind.removesuffix("_pool")}"'}
            assert any(word in source for word in quoted), kind
