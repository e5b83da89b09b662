"""Recognition of checkpoints of architectures that are not built in."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

# (pattern that the beginning of one of the names fits, the architecture); the first that fits
_KINDS: Final = (
    (r"(classification|regression)_headers\.", "an SSD detector"),
    (r"(rpn\.|roi_heads\.)", "a Faster R-CNN or Mask R-CNN detector"),
    (r"(model\.)?\d+\.(cv1|m\.0\.cv1)\.conv\.", "a YOLO detector"),
    (r".*\.(relative_position_bias_table|relative_coords_table)$", "a Swin Transformer"),
    (r"(bert|roberta|transformer|model\.embed_tokens|decoder)\.", "a language model"),
    (r"features\.denseblock\d", "a DenseNet"),
    (r"(Mixed_\d|Conv2d_1a_3x3|inception\d)", "an Inception network"),
    (r"features\.\d+\.squeeze\.", "a SqueezeNet"),
    (r"(stages|features)\.\d+\.(blocks\.)?\d+\.(gamma|layer_scale)$", "a ConvNeXt"),
    (r"s\d\.b\d+\.(f\.)?se\.", "a RegNetY"),
    (r"trunk_output\.block\d\.block\d-\d+\.f\.se\.", "a RegNetY"),
    (r"(features\.\d+\.block\.\d+|blocks\.\d+\.\d+\.se|_blocks\.\d+\._se_reduce)\.",
     "a MobileNetV3 or an EfficientNet with squeeze-and-excitation"),
    (r"(stage\d|conv5)\.\d+\.branch\d\.", "a ShuffleNetV2"),
    (r"(stage\d+\.\d+|layer\d\.\d+)\.(rbr_dense|rbr_1x1)\.", "a RepVGG"),
    (r"layers\.\d+\.shortcut\.\d\.", "kuangliu's MobileNetV2, which has more shortcuts"),
)  # fmt: skip

REMEDY: Final = (
    "export the network as ONNX by torch.onnx.export and import that file, or write its graph by "
    "hand with fcpts_ref.GraphBuilder"
)


def describe_architecture(names: Collection[str]) -> str:
    """Return what a checkpoint with these names holds, "" if it is not known."""
    for pattern, kind in _KINDS:
        if any(re.match(pattern, name) for name in names):
            return kind
    return ""
