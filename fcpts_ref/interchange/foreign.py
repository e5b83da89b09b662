"""Recognition of files that are not checkpoints, with the way to obtain one."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

HEAD: Final = 512  # the first bytes of a file, which identify its kind

_STATE = "where it was made, save the weights alone: torch.save(model.state_dict(), PATH)"
_AGAIN = "get the checkpoint itself"

# (pattern of the first bytes, kind of file, remedy)
_KINDS: Final = [
    (rb"$", "an empty file", _AGAIN),
    (rb"GGUF", "a GGUF file of a language model", "expected weights saved by torch.save"),
    (
        rb"\x89HDF\r\n\x1a\n",
        "an HDF5 file",
        "if Keras wrote it, store the weights by torch.save or as safetensors; if this program "
        "did, give it the ending .h5",
    ),
    (rb"\x08\x01\x12", "a TensorFlow model", "store the weights as safetensors"),
    (
        rb"\x08[\x02-\x20][\x12\x1a\x22\x3a]",
        "an ONNX model",
        "import it by 'fcpts-ref models import', under a name that ends in .onnx",
    ),
    (rb".{4}TFL3", "a TensorFlow Lite model", "store the weights as safetensors"),
    (
        rb"\s*<(!doctype|html|\?xml|head)",
        "an HTML page",
        "the download gave a page in place of the file: open the address in a browser",
    ),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file", "run 'git lfs pull'"),
    (rb"\x93NUMPY", "a NumPy array", "store named arrays as safetensors"),
    (rb"\x1f\x8b", "a gzip-compressed file", "unpack it"),
    (rb".{257}ustar", "a tar archive", "unpack it and give the checkpoint in it"),
    (rb"7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd", "a compressed archive", "unpack it"),
    (rb"\x80[\x02-\x05]", "a pickle of other data", _STATE),
    (
        rb"\s*[{\[]",
        "a JSON text",
        "an index or a configuration: give the file with the weights",
    ),
]

# (pattern of a name in a pickle, kind of contents, remedy)
_CONTENTS: Final = [
    (
        r"torch\._utils\._rebuild_qtensor|torch\.Q\w+Storage|torch\.(ao\.)?nn\.quantized\.",
        "a quantised network",
        "save the state dict of the float network that it was made from",
    ),
    (
        r"torch\._utils\._rebuild_(sparse|nested)",
        "sparse or nested tensors",
        "save tensor.to_dense() in their place",
    ),
    (r"torch\.Complex\w+Storage", "complex numbers", "save real weights"),
    (
        r"torch\.storage\.|torch\.UntypedStorage|torch\._utils\._rebuild_tensor_v3",
        "tensors of a type that is not read here, such as float8 or uint16",
        "save tensor.float() in their place",
    ),
    (r"torch\.jit\.", "a TorchScript program", _STATE),
    (r"torch\.nn\.|torchvision\.|timm\.|__main__\.", "a whole pickled model", _STATE),
]


def describe_file(head: bytes) -> str:
    """Return "kind: remedy" for the first bytes of a file, "" where the kind is not known."""
    for pattern, kind, remedy in _KINDS:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return f"{kind}: {remedy}"
    return ""


def describe_archive(names: Collection[str]) -> str:
    """Return "kind: remedy" for the names in a zip file, "" where the kind is not known."""
    if any(name.endswith("constants.pkl") for name in names):
        return f"a TorchScript program: {_STATE}"
    if "model.weights.h5" in names or "config.json" in names:
        return "a Keras model: store the weights by torch.save or as safetensors"
    if any(name.endswith(".npy") for name in names):
        return "NumPy's .npz format: give it the ending .npz"
    return ""


def describe_name(name: str) -> str:
    """Return "kind: remedy" for a function or class that a pickle names."""
    for pattern, kind, remedy in _CONTENTS:
        if re.match(pattern, name):
            return f"{kind}: {remedy}"
    return f"expected plain data and tensors: {_STATE}"
