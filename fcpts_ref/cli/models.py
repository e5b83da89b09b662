"""fcpts-ref models: import and export checkpoints of other programs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fcpts_ref.cli import onnx_models
from fcpts_ref.cli.architectures import add_architectures_parser
from fcpts_ref.cli.channels import add_removal_parser
from fcpts_ref.cli.sources import add_arch_options, add_home_option, network_path, output_path
from fcpts_ref.cli.stored import add_list
from fcpts_ref.cli.tables import percent
from fcpts_ref.data.preprocessing import PRESETS, as_provenance, preprocessing
from fcpts_ref.errors import InputError, counted
from fcpts_ref.experiments.networks import input_constants, order_of_channels, preprocessing_of
from fcpts_ref.graphs.network import global_rate
from fcpts_ref.interchange.checkpoints import import_checkpoint
from fcpts_ref.interchange.importing import check_ending, export_network, strip_endings
from fcpts_ref.storage.files import file_sha256, lock_folder
from fcpts_ref.storage.network_files import read_network, write_network

EPILOG = """\
examples:
  fcpts-ref models architectures
  fcpts-ref models import resnet32.th --name resnet32-cifar10
  fcpts-ref models import mobilenet_v2.pth --arch mobilenet_v2 --input 3 224 224
  fcpts-ref models export runs/NAME/network.h5 sparse.safetensors
  fcpts-ref models export resnet32-cifar10 resnet32.pt --extras masks.pt
  fcpts-ref models import mine.onnx --normalise 0.5/0.5
  fcpts-ref models export runs/NAME/network.h5 sparse.onnx --sparse
  fcpts-ref models remove-channels runs/NAME small.h5

Nothing in a file is ever executed, and PyTorch is not needed; ONNX needs the
package onnx.
"""


def add_parser(subparsers: Any) -> None:
    """Add the commands to ``subparsers``."""
    parser = subparsers.add_parser(
        "models",
        help="import and export PyTorch and safetensors checkpoints, and ONNX files",
        description="Import and export PyTorch and safetensors checkpoints, and ONNX files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "read a checkpoint (.pth, .pt, .th, .safetensors) or an ONNX file into an .h5 file"
    importing = actions.add_parser("import", help=text, description=_sentence(text))
    importing.add_argument("file", metavar="FILE", help="the checkpoint or ONNX file")
    add_arch_options(importing)
    importing.add_argument(
        "--channel-order",
        choices=("RGB", "BGR"),
        help="order of the colours that its first layer reads (default: as its source's, BGR for "
        "pycls and RGB for all others)",
    )
    importing.add_argument(
        "--classes", type=int, metavar="N", help="classes (default: as many as in the checkpoint)"
    )
    importing.add_argument(
        "--preprocess",
        metavar="NAME|NUMBERS",
        help="how its pictures are resized, cropped and normalised, stored with the network: "
        f"{', '.join(PRESETS)}, or resize/crop/filter such as 256/224/bilinear",
    )
    importing.add_argument(
        "--input",
        type=int,
        nargs=3,
        metavar=("C", "H", "W"),
        help="shape of an image (default: that of --preprocess, else the architecture's, 3 32 32 "
        "or 3 224 224, or that of the ONNX file)",
    )
    importing.add_argument(
        "--extras",
        metavar="FILE",
        help="masks and normalisation that 'models export --extras' wrote beside the checkpoint",
    )
    place = importing.add_mutually_exclusive_group()
    place.add_argument("--out", metavar="FILE", help="default: models/NAME.h5 in --home")
    place.add_argument(
        "--name",
        help="the network's name, as in 'fcpts-ref sparsify --weights NAME' (default: from the "
        "file's name)",
    )
    add_home_option(importing)
    importing.add_argument("--json", action="store_true", help="print the result as JSON")
    importing.set_defaults(run=_import)

    text = "write a network as .safetensors, in PyTorch's format (.pt, .pth, .th) or as .onnx"
    exporting = actions.add_parser("export", help=text, description=_sentence(text))
    exporting.add_argument(
        "network", metavar="NAME|FILE", help="a network's name, .h5 file or run folder"
    )
    exporting.add_argument("out", metavar="OUT", help="such as network.pt or network.onnx")
    exporting.add_argument(
        "--extras",
        metavar="FILE",
        help="checkpoints: write masks and input normalisation, which the state dict of an "
        "architecture has no place for, to this second file",
    )
    exporting.add_argument(
        "--sparse",
        action="store_true",
        help="store masked weights without zeros: checkpoints as NAME.values, NAME.mask (bits) and "
        "NAME.shape, ONNX as sparse initialisers",
    )
    onnx_models.add_export_options(exporting)
    add_home_option(exporting)
    exporting.add_argument("--json", action="store_true", help="print the result as JSON")
    exporting.set_defaults(run=_export)
    add_removal_parser(actions)
    add_architectures_parser(actions)
    add_list(actions, "network", "models", _described)


def _described(path: Path) -> dict[str, str]:
    """Return the row of ``models list``.  Raises InputError for a file that is no network."""
    network, _ = read_network(path)
    shape = "x".join(map(str, network.graph.input_shape))
    return {
        "network": network.graph.name,
        "images": shape,
        "classes": str(network.graph.classes),
        "pruned": percent(global_rate(network)),
    }


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _import(arguments: argparse.Namespace) -> int:
    if onnx_models.is_onnx(arguments.file):
        return onnx_models.import_file(arguments)
    chosen = None if arguments.preprocess is None else preprocessing(arguments.preprocess)
    constants = input_constants(arguments.normalise, arguments.mean, arguments.std, chosen)
    shape = tuple(arguments.input) if arguments.input else None
    if shape is None and chosen is not None:
        shape = chosen.shape
    source = Path(arguments.file)
    imported = import_checkpoint(
        source,
        arch=arguments.arch,
        shortcut=arguments.shortcut,
        classes=arguments.classes,
        input_shape=shape,
        normalise=constants,
        channel_order=arguments.channel_order or order_of_channels(chosen),
        extras=arguments.extras,
    )
    network, report = imported.network, imported.report
    graph = network.graph
    path = output_path(arguments, strip_endings(source.name))
    prepared = preprocessing_of(imported, chosen)
    provenance = {
        "made_by": "fcpts-ref models import",
        "source": source.name,
        "sha256": file_sha256(source),
        "architecture": imported.architecture,
        "normalise": imported.normalise,
        **as_provenance(prepared),
    }
    with lock_folder(path.parent):
        write_network(path, network, provenance)
    weights = sum(network.sizes.values())
    summary = {
        "network": graph.name,
        "architecture": imported.architecture,
        "classes": graph.classes,
        "input_shape": list(graph.input_shape),
        "normalise": imported.normalise,
        "preprocess": None if prepared is None else str(prepared),
        "weights": weights,
        "renamed": len(report.renamed),
        "ignored": list(report.ignored),
        "file": str(path),
    }
    text = (
        f"{imported.architecture}\n"
        f"{counted(graph.classes, 'class', 'classes')}, images "
        f"{'x'.join(map(str, graph.input_shape))} normalised by {imported.normalise}, "
        f"{counted(weights, 'prunable weight')}\n"
        + (f"pictures are prepared by {prepared}\n" if prepared else "")
        + f"{report.summary()}, {len(report.renamed)} under other names, "
        f"{counted(len(report.ignored), 'counter')} ignored\nwritten to {path}"
    )
    print(json.dumps(summary, indent=2) if arguments.json else text)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    out = Path(arguments.out)
    if onnx_models.is_onnx(out):
        return onnx_models.export_file(arguments)
    check_ending(out)
    onnx_models.refuse_export_options(arguments)
    network, _ = read_network(network_path(arguments.network, arguments.home))
    if arguments.sparse and not network.masks:
        raise InputError(f"{arguments.network} has no masks: it is dense, omit --sparse")
    earlier = " in place of an earlier file" if out.exists() else ""
    export_network(out, network, extras=arguments.extras, sparse=arguments.sparse)
    rate = global_rate(network)
    summary = {
        "network": network.graph.name,
        "rate": rate,
        "masks": len(network.masks) if arguments.extras or arguments.sparse else 0,
        "extras": arguments.extras,
        "bytes": out.stat().st_size,
        "file": str(out),
    }
    text = (
        f"{network.graph.name}: {percent(rate)} of the weights are zero\n"
        f"written to {out}{earlier}, {counted(summary['bytes'], 'byte')}"
        + (", without zeros" if arguments.sparse else "")
        + (f"; masks and normalisation to {arguments.extras}" if arguments.extras else "")
    )
    print(json.dumps(summary, indent=2) if arguments.json else text)
    return 0
