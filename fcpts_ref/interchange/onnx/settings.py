"""The settings of ONNX operators that translations read; any other is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_WINDOW: Final = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")
_QUERIES: Final = ("is_causal", "kv_num_heads", "q_num_heads", "scale", "softcap")

SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "Attention": (*_QUERIES, "qk_matmul_output_mode", "softmax_precision"),
    "AveragePool": (*_WINDOW, "ceil_mode", "count_include_pad"),
    "BatchNormalization": ("epsilon", "momentum", "training_mode", "spatial"),
    "Cast": ("to", "saturate"),
    "Clip": ("min", "max"),
    "Concat": ("axis",),
    "Conv": (*_WINDOW, "group"),
    "Dropout": ("ratio", "seed"),
    "Flatten": ("axis",),
    "Gather": ("axis",),
    "Gelu": ("approximate",),
    "Gemm": ("alpha", "beta", "transA", "transB"),
    "HardSigmoid": ("alpha", "beta"),
    "LayerNormalization": ("axis", "epsilon", "stash_type"),
    "LeakyRelu": ("alpha",),
    "LogSoftmax": ("axis",),
    "MaxPool": (*_WINDOW, "ceil_mode", "storage_order"),
    "Pad": ("mode", "pads", "value"),
    "ReduceMax": ("axes", "keepdims", "noop_with_empty_axes"),
    "ReduceMean": ("axes", "keepdims", "noop_with_empty_axes"),
    "ReduceSum": ("axes", "keepdims", "noop_with_empty_axes"),
    "Reshape": ("allowzero",),
    "Resize": (
        "antialias", "axes", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside",
        "extrapolation_value", "keep_aspect_ratio_policy", "mode", "nearest_mode",
    ),
    "Shape": ("end", "start"),
    "Slice": ("axes", "ends", "starts"),
    "Softmax": ("axis",),
    "Split": ("axis", "num_outputs", "split"),
    "Squeeze": ("axes",),
    "Swish": ("alpha",),
    "Transpose": ("perm",),
    "Unsqueeze": ("axes",),
    "Upsample": ("mode", "scales"),
}  # fmt: skip
