"""The operations of graphs: one row each, with everything that the package knows about it.

To add one, write its layer in ``fcpts_ref/layers``, its row in a file here, and its name below.
"""

from fcpts_ref.graphs.operations.arithmetic import ADD, DIVIDE, MULTIPLY, SUBTRACT
from fcpts_ref.graphs.operations.attention import ATTENTION
from fcpts_ref.graphs.operations.batch_norm import BATCH_NORM
from fcpts_ref.graphs.operations.convolution import CONVOLUTION
from fcpts_ref.graphs.operations.embedding import (
    ADD_PARAMETER,
    CLASS_TOKEN,
    MULTIPLY_PARAMETER,
)
from fcpts_ref.graphs.operations.layer_norm import LAYER_NORM
from fcpts_ref.graphs.operations.linear import LINEAR
from fcpts_ref.graphs.operations.matmul import MATMUL
from fcpts_ref.graphs.operations.mean import MEAN
from fcpts_ref.graphs.operations.normalise import NORMALISE
from fcpts_ref.graphs.operations.operation import Operation
from fcpts_ref.graphs.operations.pointwise import (
    CLIP,
    DROPOUT,
    GELU,
    HARD_SIGMOID,
    HARD_SWISH,
    LEAKY_RELU,
    RELU,
    RELU6,
    SIGMOID,
    SILU,
    TANH,
)
from fcpts_ref.graphs.operations.pooling import AVERAGE_POOL, GLOBAL_AVERAGE_POOL, MAX_POOL
from fcpts_ref.graphs.operations.rearrangement import (
    CONCAT,
    PAD,
    SLICE,
    SUBSAMPLE,
    ZERO_PAD,
)
from fcpts_ref.graphs.operations.reshaping import FLATTEN, RESHAPE, TRANSPOSE
from fcpts_ref.graphs.operations.resize import RESIZE
from fcpts_ref.graphs.operations.softmax import LOG_SOFTMAX, SOFTMAX

OPERATIONS: dict[str, Operation] = {
    "normalise": NORMALISE,
    "convolution": CONVOLUTION,
    "linear": LINEAR,
    "batch_norm": BATCH_NORM,
    "relu": RELU,
    "relu6": RELU6,
    "max_pool": MAX_POOL,
    "average_pool": AVERAGE_POOL,
    "global_average_pool": GLOBAL_AVERAGE_POOL,
    "subsample": SUBSAMPLE,
    "zero_pad": ZERO_PAD,
    "add": ADD,
    "flatten": FLATTEN,
    "softmax": SOFTMAX,
    "log_softmax": LOG_SOFTMAX,
    "leaky_relu": LEAKY_RELU,
    "clip": CLIP,
    "sigmoid": SIGMOID,
    "hard_sigmoid": HARD_SIGMOID,
    "tanh": TANH,
    "silu": SILU,
    "hard_swish": HARD_SWISH,
    "gelu": GELU,
    "dropout": DROPOUT,
    "subtract": SUBTRACT,
    "multiply": MULTIPLY,
    "divide": DIVIDE,
    "mean": MEAN,
    "concat": CONCAT,
    "slice": SLICE,
    "pad": PAD,
    "resize": RESIZE,
    "matmul": MATMUL,
    "reshape": RESHAPE,
    "transpose": TRANSPOSE,
    "layer_norm": LAYER_NORM,
    "attention": ATTENTION,
    "class_token": CLASS_TOKEN,
    "add_parameter": ADD_PARAMETER,
    "multiply_parameter": MULTIPLY_PARAMETER,
}
"""The rows, by the name that nodes use."""

__all__ = ["OPERATIONS", "Operation"]
