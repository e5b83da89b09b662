"""The rows of activations and dropout."""

from __future__ import annotations

from fcpts_ref.graphs.operations.attributes import Attribute, choice, number, share
from fcpts_ref.graphs.operations.operation import Operation, simple
from fcpts_ref.layers.dropout import dropout_backward, dropout_forward
from fcpts_ref.layers.gelu import APPROXIMATIONS, gelu_backward, gelu_forward
from fcpts_ref.layers.relu import (
    clip_backward,
    clip_forward,
    leaky_relu_backward,
    leaky_relu_forward,
    relu6_backward,
    relu6_forward,
    relu_backward,
    relu_forward,
)
from fcpts_ref.layers.sigmoid import (
    hard_sigmoid_backward,
    hard_sigmoid_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from fcpts_ref.layers.swish import (
    hard_swish_backward,
    hard_swish_forward,
    silu_backward,
    silu_forward,
)

RELU = Operation(*simple(relu_forward, relu_backward))
RELU6 = Operation(*simple(relu6_forward, relu6_backward))
SIGMOID = Operation(*simple(sigmoid_forward, sigmoid_backward))
TANH = Operation(*simple(tanh_forward, tanh_backward))
HARD_SIGMOID = Operation(
    *simple(hard_sigmoid_forward, hard_sigmoid_backward),
    {"alpha": Attribute(number, 1 / 6), "beta": Attribute(number, 0.5)},
)
SILU = Operation(*simple(silu_forward, silu_backward))
HARD_SWISH = Operation(*simple(hard_swish_forward, hard_swish_backward))
GELU = Operation(
    *simple(gelu_forward, gelu_backward),
    {"approximate": Attribute(choice(*APPROXIMATIONS), "none")},
)
LEAKY_RELU = Operation(
    *simple(leaky_relu_forward, leaky_relu_backward), {"slope": Attribute(number, 0.01)}
)
CLIP = Operation(
    *simple(clip_forward, clip_backward), {"low": Attribute(number), "high": Attribute(number)}
)
DROPOUT = Operation(*simple(dropout_forward, dropout_backward), {"rate": Attribute(share, 0.5)})
