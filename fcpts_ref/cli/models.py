"""fcpts-ref models: import and export checkpoints of other programs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from fcpts_ref.cli.sources import add_arch_options, add_home_option, network_path
from fcpts_ref.cli.tables import percent
from fcpts_ref.data.locations import home_folder
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import global_rate
from fcpts_ref.interchange.checkpoints import import_checkpoint
from fcpts_ref.interchange.importing import check_ending, export_network, strip_endings
from fcpts_ref.storage.files import file_sha256, lock_folder
from fcpts_ref.storage.network_files import read_network, write_network

EPILOG = """\
examples:
  fcpts-ref models import resnet32.th --name resnet32-cifar10
  fcpts-ref models import mobilenet_v2.pth --arch mobilenet_v2 --input 3 224 224
  fcpts-ref models export runs/NAME/network.h5 sparse.safetensors
  fcpts-ref models export resnet32-cifar10 resnet32.pt

Nothing in a checkpoint is ever executed, and PyTorch is not needed.
"""


def add_parser(subparsers: Any) -> None:
    """Add the commands to ``subparsers``."""
    parser = subparsers.add_parser(
        "models",
        help="import and export PyTorch and safetensors checkpoints",
        description="Import and export PyTorch and safetensors checkpoints.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "read a checkpoint (.pth, .pt, .th, .safetensors) into an .h5 file"
    importing = actions.add_parser("import", help=text, description=_sentence(text))
    importing.add_argument("file", metavar="FILE", help="the checkpoint")
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
        "--input",
        type=int,
        nargs=3,
        metavar=("C", "H", "W"),
        help="shape of an image (default: the architecture's: 3 32 32 or 3 224 224)",
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

    text = "write a network as safetensors, or in PyTorch's format for .pt, .pth and .th"
    exporting = actions.add_parser("export", help=text, description=_sentence(text))
    exporting.add_argument(
        "network", metavar="NAME|FILE", help="a network's name, .h5 file or run folder"
    )
    exporting.add_argument("out", metavar="OUT", help="such as network.safetensors or network.pt")
    exporting.add_argument(
        "--sparse",
        action="store_true",
        help="store masked weights without zeros, as NAME.values, NAME.mask (bits) and NAME.shape",
    )
    add_home_option(exporting)
    exporting.add_argument("--json", action="store_true", help="print the result as JSON")
    exporting.set_defaults(run=_export)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _import(arguments: argparse.Namespace) -> int:
    source = Path(arguments.file)
    imported = import_checkpoint(
        source,
        arch=arguments.arch,
        shortcut=arguments.shortcut,
        classes=arguments.classes,
        input_shape=arguments.input and tuple(arguments.input),
        normalise=arguments.normalise,
        channel_order=arguments.channel_order,
    )
    network, report = imported.network, imported.report
    graph = network.graph
    name = arguments.name or strip_endings(source.name)
    path = Path(arguments.out or home_folder(arguments.home) / "models" / f"{name}.h5")
    provenance = {
        "made_by": "fcpts-ref models import",
        "source": source.name,
        "sha256": file_sha256(source),
        "architecture": imported.architecture,
        "normalise": imported.normalise,
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
        "weights": weights,
        "renamed": len(report.renamed),
        "ignored": list(report.ignored),
        "file": str(path),
    }
    text = (
        f"{imported.architecture}\n"
        f"{graph.classes} classes, images {'x'.join(map(str, graph.input_shape))} normalised by "
        f"{imported.normalise}, {weights:,} prunable weights\n"
        f"{report.summary()}, {len(report.renamed)} under other names, {len(report.ignored)} "
        f"counters ignored\nwritten to {path}"
    )
    print(json.dumps(summary, indent=2) if arguments.json else text)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    out = Path(arguments.out)
    check_ending(out)
    network, _ = read_network(network_path(arguments.network, arguments.home))
    if arguments.sparse and not network.masks:
        raise InputError(f"{arguments.network} has no masks: it is dense, omit --sparse")
    export_network(out, network, sparse=arguments.sparse)
    rate = global_rate(network)
    summary = {
        "network": network.graph.name,
        "rate": rate,
        "masks": len(network.masks),
        "bytes": out.stat().st_size,
        "file": str(out),
    }
    how = "stored without zeros" if arguments.sparse else "stored as separate arrays"
    text = (
        f"{network.graph.name}: {percent(rate)} of the weights are zero, "
        f"{summary['masks']} masks {how}\nwritten to {out}, {summary['bytes']:,} bytes"
    )
    print(json.dumps(summary, indent=2) if arguments.json else text)
    return 0
