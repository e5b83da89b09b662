"""The layers, in plain NumPy: forward and backward side by side, one file each.

``x_forward(...)`` returns the value and a cache; ``x_backward(dvalue, cache)`` returns the
gradients in the order of the inputs.  Images are (N, C, H, W); dtype in, dtype out.
"""

from fcpts_ref.layers.arithmetic import (
    add_backward,
    add_forward,
    divide_backward,
    divide_forward,
    multiply_backward,
    multiply_forward,
    subtract_backward,
    subtract_forward,
)
from fcpts_ref.layers.attention import attention_backward, attention_forward
from fcpts_ref.layers.batch_norm import batch_norm_backward, batch_norm_forward
from fcpts_ref.layers.concat import (
    concat_backward,
    concat_forward,
    slice_backward,
    slice_forward,
)
from fcpts_ref.layers.convolution import (
    convolution_backward,
    convolution_forward,
    convolution_input_gradient,
    convolution_weight_gradient,
)
from fcpts_ref.layers.dropout import dropout_backward, dropout_forward
from fcpts_ref.layers.embedding import (
    add_parameter_backward,
    add_parameter_forward,
    class_token_backward,
    class_token_forward,
    multiply_parameter_backward,
    multiply_parameter_forward,
)
from fcpts_ref.layers.gelu import gelu_backward, gelu_forward
from fcpts_ref.layers.layer_norm import layer_norm_backward, layer_norm_forward
from fcpts_ref.layers.linear import linear_backward, linear_forward
from fcpts_ref.layers.losses import (
    cross_entropy_backward,
    cross_entropy_forward,
    kl_divergence_backward,
    kl_divergence_forward,
)
from fcpts_ref.layers.matmul import matmul_backward, matmul_forward
from fcpts_ref.layers.mean import mean_backward, mean_forward
from fcpts_ref.layers.normalise import normalise_backward, normalise_forward
from fcpts_ref.layers.pad import pad_backward, pad_forward
from fcpts_ref.layers.pooling import (
    average_pool_backward,
    average_pool_forward,
    global_average_pool_backward,
    global_average_pool_forward,
    max_pool_backward,
    max_pool_forward,
)
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
from fcpts_ref.layers.reshaping import (
    flatten_backward,
    flatten_forward,
    reshape_backward,
    reshape_forward,
    transpose_backward,
    transpose_forward,
)
from fcpts_ref.layers.resize import resize_backward, resize_forward
from fcpts_ref.layers.shortcut import (
    subsample_backward,
    subsample_forward,
    zero_pad_backward,
    zero_pad_forward,
)
from fcpts_ref.layers.sigmoid import (
    hard_sigmoid_backward,
    hard_sigmoid_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from fcpts_ref.layers.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
)
from fcpts_ref.layers.swish import (
    hard_swish_backward,
    hard_swish_forward,
    silu_backward,
    silu_forward,
)

__all__ = [
    "add_backward",
    "add_forward",
    "add_parameter_backward",
    "add_parameter_forward",
    "attention_backward",
    "attention_forward",
    "average_pool_backward",
    "average_pool_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "class_token_backward",
    "class_token_forward",
    "clip_backward",
    "clip_forward",
    "concat_backward",
    "concat_forward",
    "convolution_backward",
    "convolution_forward",
    "convolution_input_gradient",
    "convolution_weight_gradient",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "divide_backward",
    "divide_forward",
    "dropout_backward",
    "dropout_forward",
    "flatten_backward",
    "flatten_forward",
    "gelu_backward",
    "gelu_forward",
    "global_average_pool_backward",
    "global_average_pool_forward",
    "hard_sigmoid_backward",
    "hard_sigmoid_forward",
    "hard_swish_backward",
    "hard_swish_forward",
    "kl_divergence_backward",
    "kl_divergence_forward",
    "layer_norm_backward",
    "layer_norm_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "linear_backward",
    "linear_forward",
    "log_softmax_backward",
    "log_softmax_forward",
    "matmul_backward",
    "matmul_forward",
    "max_pool_backward",
    "max_pool_forward",
    "mean_backward",
    "mean_forward",
    "multiply_backward",
    "multiply_forward",
    "multiply_parameter_backward",
    "multiply_parameter_forward",
    "normalise_backward",
    "normalise_forward",
    "pad_backward",
    "pad_forward",
    "relu6_backward",
    "relu6_forward",
    "relu_backward",
    "relu_forward",
    "reshape_backward",
    "reshape_forward",
    "resize_backward",
    "resize_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "silu_backward",
    "silu_forward",
    "slice_backward",
    "slice_forward",
    "softmax_backward",
    "softmax_forward",
    "subsample_backward",
    "subsample_forward",
    "subtract_backward",
    "subtract_forward",
    "tanh_backward",
    "tanh_forward",
    "transpose_backward",
    "transpose_forward",
    "zero_pad_backward",
    "zero_pad_forward",
]
