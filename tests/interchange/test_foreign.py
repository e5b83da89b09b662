"""Files mistaken for checkpoints are recognised, and the message gives the remedy."""

import io
import pickle
import tarfile
import zipfile

import h5py
import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.interchange.foreign import describe_archive, describe_file, describe_name
from fcpts_ref.interchange.importing import read_checkpoint
from fcpts_ref.storage.network_files import write_arrays


def hdf5(**attributes):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs.update(attributes)
    return buffer.getvalue()


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return buffer.getvalue()


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return buffer.getvalue()


ONNX = b"\x08\x07\x12\x07pytorch\x1a\x051.9.0:\x80"
FILES = {
    "nothing": (b"", "an empty file"),
    "GGUF": (b"GGUF\x03\0\0\0" + bytes(100), "a GGUF file"),
    "HDF5": (hdf5(), "an HDF5 file, perhaps of Keras"),
    "Keras 2": (hdf5(keras_version="2.15"), "a Keras model: store the weights"),
    "HTML with a mark": (b"\xef\xbb\xbf<!doctype html>", "an HTML page"),
    "torch.export": (zipped("a/archive_format", "a/models/model.json"), "saved by torch.export"),
    "any zip": (zipped("photo.jpg"), "if a checkpoint is in it, unpack it"),
    "Keras 3": (zipped("metadata.json", "config.json", "model.weights.h5"), "a Keras model"),
    "ONNX": (ONNX, "an ONNX model"),
    "TensorFlow": (b"\x08\x01\x12\x90", "a TensorFlow model"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(100), "a TensorFlow Lite model"),
    "HTML": (b"\n<!DOCTYPE html><html>", "an HTML page"),
    "html": (b"<html><head>", "an HTML page"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "NumPy": (b"\x93NUMPY\x01\0", "a NumPy array"),
    "npz": (zipped("a.npy"), "NumPy's .npz format"),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "a gzip-compressed file"),
    "tar": (tar(), "a tar archive"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c", "a compressed archive"),
    "pickle": (pickle.dumps({"w": [1.0]}), "a pickle of other data"),
    "JSON": (b'{"metadata": {}, "weight_map": {}}', "a JSON text"),
    "TorchScript": (zipped("a/data.pkl", "a/constants.pkl"), "a TorchScript program"),
    "pickle of protocol 0": (pickle.dumps({"w": [1.0]}, 0), "a pickle of other data"),
    "GGML": (b"tjgg\x01\0\0\0" + bytes(9), "a GGML file"),
    "OpenVINO": (b'<?xml version="1.0"?>\n<net name="a" version="11">', "a model of OpenVINO"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "an XML document"),
    "XHTML": (b'<?xml version="1.0"?><html>', "an HTML page"),
    "TensorRT": (b"ftrt" + bytes(9), "an engine of TensorRT"),
    "MXNet": (b"\x12\x01" + bytes(14), "parameters of MXNet"),
    "MATLAB": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "a MATLAB file"),
    "Parquet": (b"PAR1\x15\x04", "a table of data"),
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF", "a picture"),
    "PNG": (b"\x89PNG\r\n\x1a\n", "a picture"),
    "PDF": (b"%PDF-1.7\n", "a PDF document"),
    "ELF": (b"\x7fELF\x02", "a program: it was not run"),
    "EXE": (b"MZ\x90\0\x03", "a program: it was not run"),
    "script": (b"#!/bin/sh\n", "a program: it was not run"),
    "Lua's Torch": (b"4\n1\n3\nV 1\n13\nnn.Sequential\n", "a file of Lua's Torch"),
    "TensorFlow graph": (b"\x0a\x10\x0a\x05input\x12\x0bPlaceholder", "a graph of TensorFlow"),
    "Caffe": (b"\x0a\x09ResNet-50\xa2\x06\x8f\x01\x0a\x04data", "a model of Caffe"),
    "Caffe, old": (b"\x0a\x07AlexNet\x12\x2a\x1a\x04data", "a model of Caffe"),
    "Caffe, text": (b'# by hand\nname: "AlexNet"\nlayer {\n  name: "data"', "a Caffe network"),
    "Caffe, text without a name": (b'layers {\n  name: "conv1"', "a Caffe network"),
    "Caffe, text with inputs": (b'name: "R"\ninput: "data"\ninput_dim: 1', "a Caffe network"),
    "Flax": (b"\x81\xa6params\x82\xa5Dense\x81", "a msgpack file, perhaps parameters of Flax"),
    "Flax, many": (b"\xde\x00\x20\xa7conv1_1\xc7", "a msgpack file"),
    "Flax, long names": (b"\x81\xd9\x28backbone_" + bytes(40), "a msgpack file"),
    "TensorFlow's index": (
        b"\0\0\x06\x08\x01\x1a\x02\x08\x01\0\x05\x0fconv1" + bytes.fromhex("57fb808b247547db"),
        "a checkpoint of TensorFlow: store the weights as safetensors",
    ),
    "TensorFlow's table": (
        bytes(range(1, 60)) + bytes.fromhex("57fb808b247547db"),
        "a checkpoint of TensorFlow",
    ),
    "Core ML": (b"\x08\x04\x12\xb1\x02\x0a\x2d\x0a\x05image", "a model of Core ML"),
    "PaddlePaddle": (bytes(16) + b"\x0a\0\0\0\x08\x05\x10\x40", "parameters of PaddlePaddle"),
    "Darknet": (b"\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0abcd", "weights of Darknet"),
    "Darknet's text": (b"[net]\nbatch=64\n", "a description of a Darknet network"),
    "ncnn": (b"7767517\n75 83\n", "a description of an ncnn network"),
    "film": (b"\0\0\0\x18ftypmp42", "a video or sound"),
    "zlib": (b"x\x9c\xed\xc1", "compressed data"),
    "zip with a checkpoint": (zipped("best/model.pth"), "unpack it and give 'best/model.pth'"),
    "text in a list": (b"name: value\nlayer of cake\n", "a text"),
    "text": (b"mz learning\nrate\n", "a text"),
    "text with an accent": ("café – naïve\n".encode(), "a text"),
    "text cut in a character": ("é".encode() * 5000, "a text"),
    "UTF-16": ("text".encode("utf-16"), "a text"),
    "anything": (b"\x01\x02\xff", "neither the zip container nor"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_files_of_other_kinds_are_named(tmp_path, content, message):
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_checkpoint(tmp_path / "model.pth")
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "model.pth"))
    assert "\n" not in str(caught.value)


def test_a_network_of_this_program_under_another_name(tmp_path):
    write_arrays(tmp_path / "network.pt", {"w": np.zeros(1)})
    with pytest.raises(InputError, match=r"it need not be imported: .* with the ending \.h5"):
        read_checkpoint(tmp_path / "network.pt")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("saved_model.pb", "variables.index"), "a TensorFlow SavedModel: store the weights"),
        (("checkpoint", "model.ckpt.index"), "a checkpoint of TensorFlow: store the weights"),
        (("_METADATA", "manifest.ocdbt"), "a checkpoint of Orbax or Flax"),
        (("Manifest.json", "Data"), "a model of Core ML"),
        (("data.pkl", "version"), "an unpacked PyTorch checkpoint"),
        (("a.txt", "model.pth"), "give the checkpoint in it, such as 'model.pth'"),
        (("a.txt",), "it is a folder, expected a file"),
    ],
)
def test_folders(tmp_path, names, message):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path)


def test_data_of_tensorflow_is_known_by_its_name(tmp_path):
    path = tmp_path / "model.ckpt.data-00000-of-00001"
    path.write_bytes(bytes(range(100)))
    with pytest.raises(InputError, match="a checkpoint of TensorFlow: store"):
        read_checkpoint(path)


def test_what_is_not_known_is_not_named():
    assert describe_file(b"\x01\x02\xff") == ""
    assert describe_archive(["data.pkl"]) == ""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("torch.nn.modules.conv.Conv2d", "a whole pickled model"),
        ("torch.nn.Linear", "a whole pickled model"),
        ("torchvision.models.resnet.ResNet", "a whole pickled model"),
        ("__main__.Net", "a whole pickled model"),
        ("torch.nn.quantized.modules.linear.Linear", "a quantised network"),
        ("torch.QUInt8Storage", "a quantised network"),
        ("torch.qint8", "a quantised network"),
        ("mynet.Net", "an object of another program, such as a whole pickled model"),
        ("torch._utils._rebuild_meta_tensor_no_storage", "tensors without data"),
        ("torch._utils._rebuild_sparse_csr_tensor", "sparse"),
        ("torch.jit._pickle.build_intlist", "a TorchScript program"),
        ("os.system", "expected plain data and tensors"),
        ("", "expected plain data and tensors"),
    ],
)
def test_names_in_pickles(name, kind):
    assert describe_name(name).startswith(kind)
