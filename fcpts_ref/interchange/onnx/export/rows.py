"""How every operation of ours is written: one row each."""

from __future__ import annotations

from collections.abc import Callable

from fcpts_ref.graphs.graph import Node
from fcpts_ref.interchange.onnx.export import pointwise, shapes, weighted
from fcpts_ref.interchange.onnx.export.builder import Builder
from fcpts_ref.interchange.onnx.export.pointwise import arithmetic, same

ROWS: dict[str, Callable[[Builder, Node], None]] = {
    "normalise": weighted.normalise,
    "convolution": weighted.convolution,
    "linear": weighted.linear,
    "batch_norm": weighted.batch_norm,
    "layer_norm": weighted.layer_norm,
    "class_token": weighted.class_token,
    "add_parameter": weighted.add_parameter,
    "multiply_parameter": weighted.multiply_parameter,
    "relu": same("Relu"),
    "relu6": pointwise.relu6,
    "sigmoid": same("Sigmoid"),
    "hard_sigmoid": same("HardSigmoid", alpha="alpha", beta="beta"),
    "silu": pointwise.silu,
    "hard_swish": same("HardSwish"),
    "gelu": pointwise.gelu,
    "leaky_relu": same("LeakyRelu", alpha="slope"),
    "clip": pointwise.clip,
    "tanh": same("Tanh"),
    "dropout": shapes.dropout,
    "add": arithmetic("Add"),
    "subtract": arithmetic("Sub"),
    "multiply": arithmetic("Mul"),
    "divide": arithmetic("Div"),
    "softmax": pointwise.softmax("Softmax"),
    "log_softmax": pointwise.softmax("LogSoftmax"),
    "attention": pointwise.attention,
    "matmul": shapes.matmul,
    "max_pool": shapes.max_pool,
    "average_pool": shapes.average_pool,
    "global_average_pool": shapes.global_average_pool,
    "subsample": shapes.subsample,
    "zero_pad": shapes.zero_pad,
    "pad": shapes.pad,
    "slice": shapes.slice_,
    "concat": shapes.concat,
    "mean": shapes.mean,
    "resize": shapes.resize,
    "reshape": shapes.reshape,
    "flatten": shapes.flatten,
    "transpose": shapes.transpose,
}
