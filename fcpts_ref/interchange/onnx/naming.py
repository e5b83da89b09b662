"""Names of nodes from those that exporters give to initialisers and nodes."""

from __future__ import annotations

import ast
import re
from typing import Final

from fcpts_ref.interchange.onnx.reading import OnnxNode

MAX_NAME: Final = 100
_GENERATED: Final = re.compile(r"(onnx::|val_|_to_copy|/|\d+$|const|Constant|initializer|p_)")
_SCOPES: Final = "pkg.torch.onnx.name_scopes"


def node_label(node: OnnxNode, weight: str = "") -> str:
    """Return a name for the node that an ONNX node becomes.

    weight: the name of its initialiser: layer1.0.conv1.weight makes layer1.0.conv1.  Otherwise the
    scope that torch's exporters write is used, or the node's own name.
    """
    stem, _, last = weight.rpartition(".")
    if stem and last in ("weight", "in_proj_weight") and not _GENERATED.match(weight):
        return cleaned(stem)
    if weight.endswith("_weight") and not _GENERATED.match(weight):
        return cleaned(weight.removesuffix("_weight"))
    return cleaned(_scope(node) or _from_path(node)) or node.kind.lower()


def cleaned(name: str) -> str:
    """Return ``name`` with only letters, digits, "_", "-" and "." in it."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", ".", name.removesuffix(":0"))
    return re.sub(r"\.{2,}", ".", name).strip(".")[:MAX_NAME]


def _scope(node: OnnxNode) -> str:
    """Return the module's name that torch's newer exporter notes: the last but one scope."""
    try:
        scopes = ast.literal_eval(node.notes.get(_SCOPES, "")[:10_000])
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ""
    names = [name for name in scopes if isinstance(name, str)] if isinstance(scopes, list) else []
    return names[-2] if len(names) >= 2 else ""


def _from_path(node: OnnxNode) -> str:
    """Return conv1 of /layer1/layer1.0/conv1/Conv as layer1.0.conv1, other names as they are."""
    if not node.name.startswith("/"):
        return node.name
    *parts, last = node.name.strip("/").split("/")
    kept = [
        part
        for part, following in zip(parts, [*parts[1:], ""], strict=False)
        if not following.startswith(f"{part}.")
    ]
    is_operator = re.fullmatch(rf"{re.escape(node.kind)}(_\d+)?", last)
    return ".".join(kept if is_operator and kept else [*kept, last])
