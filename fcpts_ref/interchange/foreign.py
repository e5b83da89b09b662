"""Recognition of files that are not checkpoints, with the way to obtain one."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from typing import Final

from fcpts_ref.errors import shown

HEAD: Final = 4096  # the first bytes of a file, which identify its kind
TAIL: Final = 8  # the last ones, where tables of LevelDB have their mark
_TABLE: Final = bytes.fromhex("57fb808b247547db")

_STATE = "where it was made, save the weights alone: torch.save(model.state_dict(), PATH)"
_AGAIN = "give the file with the weights"
_DOWNLOAD = "the download gave a page in place of the file: open the address in a browser"
_FLOATS = "store the weights as safetensors"
_ORIGIN = "import the ONNX file, or the checkpoint, that it was made from"
_TENSORFLOW = "a checkpoint of TensorFlow"
_KERAS = "store the weights by torch.save or as safetensors"
_HDF5 = rb"\x89HDF\r\n\x1a\n"

# (pattern of the first bytes, kind of file, remedy)
_KINDS: Final = [
    (rb"$", "an empty file", _AGAIN),
    (rb"GGUF", "a GGUF file of a language model", "expected weights saved by torch.save"),
    (
        rb"(lmgg|tjgg|fmgg|algg)",
        "a GGML file of a language model",
        "expected weights saved by torch.save",
    ),
    (
        _HDF5 + rb".{0,1000}fcpts-ref ",
        "a file of this program",
        "it need not be imported: give other commands its path, with the ending .h5",
    ),
    (_HDF5 + rb".*(keras_version|model_weights)", "a Keras model", _KERAS),
    (_HDF5, "an HDF5 file, perhaps of Keras", _KERAS),
    (rb"\x08\x01\x12", "a TensorFlow model", _FLOATS),
    (rb"\x08[\x02-\x20]\x12.{1,3}\x0a", "a model of Core ML", _ORIGIN),
    (
        rb"\x08[\x02-\x20][\x12\x1a\x22\x3a]",
        "an ONNX model",
        "import it by 'fcpts-ref models import', under a name that ends in .onnx",
    ),
    (rb".{4}TFL3", "a TensorFlow Lite model", _FLOATS),
    (rb"<\?xml.{0,200}<net ", "a model of OpenVINO", _ORIGIN),
    (rb"(\xef\xbb\xbf)?\s*<\?xml(?!.*<html)", "an XML document", _DOWNLOAD),
    (
        rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml|head)",
        "an HTML page",
        _DOWNLOAD,
    ),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file", "run 'git lfs pull'"),
    (rb"\x93NUMPY", "a NumPy array", "store named arrays as safetensors"),
    (rb"\x1f\x8b", "a gzip-compressed file", "unpack it"),
    (rb".{257}ustar", "a tar archive", "unpack it and give the checkpoint in it"),
    (rb"7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd", "a compressed archive", "unpack it"),
    (rb"ftrt|ptrt", "an engine of TensorRT", _ORIGIN),
    (rb"\x12\x01\0\0\0\0\0\0", "parameters of MXNet", _FLOATS),
    (rb"\0{16}.\0\0\0\x08.\x10", "parameters of PaddlePaddle", _FLOATS),
    (rb"\0{4}[\1\2]\0{3}.\0{7}", "weights of Darknet", _FLOATS),
    (rb"\0\0[\x02-\x40]\x08.{1,3}\x1a\x02\x08\x01", _TENSORFLOW, _FLOATS),
    (
        rb"([\x81-\x8f]|\xde..|\xdf.{4})([\xa1-\xbf]|\xd9.)[\w/.-]",
        "a msgpack file, perhaps parameters of Flax",
        _FLOATS,
    ),
    (rb".{4}ftyp|RIFF.{4}(AVI |WAVE)|\x1aE\xdf\xa3", "a video or sound", _AGAIN),
    (rb"x[\x9c\xda]|\x04\x22\x4d\x18", "compressed data", "unpack it"),
    (rb"(II\*\0|MM\0\*)", "a picture", _AGAIN),
    (rb"MATLAB 5", "a MATLAB file", _FLOATS),
    (rb"PAR1|ARROW1|SQLite format", "a table of data", _AGAIN),
    (rb"\xff\xd8\xff|\x89PNG|GIF8|BM.{4}\0{4}|RIFF.{4}WEBP", "a picture", _AGAIN),
    (rb"%PDF", "a PDF document", _AGAIN),
    (
        rb"\x7fELF|MZ[\0-\x1f\x80-\xff]|\xca\xfe\xba\xbe|\xcf\xfa\xed\xfe|#!",
        "a program",
        "it was not run; " + _AGAIN,
    ),
    (
        rb"4\n\d+\n\d+\nV \d",
        "a file of Lua's Torch",
        "load it there, or in PyTorch 0.4, and " + _FLOATS,
    ),
    (
        rb"\x0a.{1,3}\x0a.[\w/.:-]+\x12.\w+",
        "a graph of TensorFlow",
        _FLOATS,
    ),
    (rb"\x0a.[ -~]{1,127}(\xa2\x06|[\x12\x1a].)", "a model of Caffe", _FLOATS),
    (
        rb"(\s*#[^\n]*\n)*\s*(name\s*:\s*[\"'][^\n]*\s+(layers?\s*\{|input)|layers?\s*\{|"
        rb"input\s*:\s*[\"'])",
        "a description of a Caffe network, without weights",
        "store the weights of its .caffemodel as safetensors",
    ),
    (rb"7767517\n", "a description of an ncnn network, without weights", _ORIGIN),
    (rb"\[net(work)?\]", "a description of a Darknet network, without weights", _AGAIN),
    (
        rb"\x80[\x02-\x05]|[(](dp?|lp?)\d|"
        rb"c(copy_reg|__builtin__|collections|numpy|torch)[\w.]*\n",
        "a pickle of other data",
        _STATE,
    ),
    (
        rb"\s*[{\[]",
        "a JSON text",
        "an index or a configuration: " + _AGAIN,
    ),
    (
        rb"\xff\xfe|\xfe\xff|\xef\xbb\xbf|"  # UTF-16, or UTF-8 that may be cut in a character
        rb"([\t\r\n\x20-\x7e]|[\xc2-\xf4][\x80-\xbf]{1,3})+[\xc2-\xf4]?[\x80-\xbf]{0,2}$",
        "a text",
        _AGAIN,
    ),
]

# (pattern of a name in a pickle, kind of contents, remedy)
_CONTENTS: Final = [
    (
        r"torch\._utils\._rebuild_qtensor|torch\.Q\w+Storage|torch\.q\w*int\d|"
        r"torch\.(ao\.)?nn\.quantized\.",
        "a quantised network",
        "save the state dict of the float network that it was made from",
    ),
    (
        r"torch\._utils\._rebuild_(sparse|nested)",
        "sparse or nested tensors",
        "save tensor.to_dense() in their place",
    ),
    (
        r"torch\._utils\._rebuild_meta",
        "tensors without data, of the device 'meta'",
        "load the weights before saving them",
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


_LIBRARIES: Final = {"torch", "numpy", "__builtin__", *sys.stdlib_module_names}


def describe_file(head: bytes, tail: bytes = b"") -> str:
    """Return "kind: remedy" for the first and last bytes of a file, "" where it is not known."""
    if tail == _TABLE:
        return f"{_TENSORFLOW}: {_FLOATS}"
    for pattern, kind, remedy in _KINDS:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return f"{kind}: {remedy}"
    return ""


def describe_path(name: str) -> str:
    """Return "kind: remedy" for the name of a file whose content tells nothing, or ""."""
    if re.search(r"\.data-\d{5}-of-\d{5}$", name):
        return f"{_TENSORFLOW}: {_FLOATS}"
    return ""


def describe_archive(names: Collection[str]) -> str:
    """Return "kind: remedy" for the names in a zip file, "" where the kind is not known."""
    if any(name.endswith("constants.pkl") for name in names):
        return f"a TorchScript program: {_STATE}"
    if inner := [n for n in names if re.search(r"\.(pth|pt|th|safetensors|onnx)$", n)]:
        return f"a zip file: unpack it and give {shown(inner[0])}"
    if "model.weights.h5" in names or "config.json" in names:
        return f"a Keras model: {_KERAS}"
    if any(name.endswith("archive_format") for name in names):
        return f"a program saved by torch.export: {_STATE}"
    if any(name.endswith(".npy") for name in names):
        return "NumPy's .npz format: give it the ending .npz"
    if not any(name.endswith("data.pkl") for name in names):
        return "a zip file without a checkpoint's data.pkl: if a checkpoint is in it, unpack it"
    return ""


def describe_folder(names: Collection[str]) -> str:
    """Return "kind: remedy" for the names in a folder, "" where the kind is not known."""
    if "saved_model.pb" in names:
        return "a TensorFlow SavedModel: store the weights as safetensors"
    if "checkpoint" in names and any(name.endswith(".index") for name in names):
        return f"{_TENSORFLOW}: {_FLOATS}"
    if {"_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"} & set(names):
        return f"a checkpoint of Orbax or Flax: {_FLOATS}"
    if "Manifest.json" in names and "Data" in names:
        return f"a model of Core ML: {_ORIGIN}"
    if "data.pkl" in names:
        return "an unpacked PyTorch checkpoint: give the file that it was unpacked from"
    known = sorted(name for name in names if re.search(r"\.(pth|pt|th|safetensors)$", name))
    return f"a folder: give the checkpoint in it, such as {shown(known[0])}" if known else ""


def describe_name(name: str) -> str:
    """Return "kind: remedy" for a function or class that a pickle names."""
    for pattern, kind, remedy in _CONTENTS:
        if re.match(pattern, name):
            return f"{kind}: {remedy}"
    package = name.partition(".")[0]
    if package and package not in _LIBRARIES:
        return f"an object of another program, such as a whole pickled model: {_STATE}"
    return f"expected plain data and tensors: {_STATE}"
