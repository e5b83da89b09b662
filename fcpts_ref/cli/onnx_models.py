"""fcpts-ref models, for ONNX files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fcpts_ref.cli.sources import network_path, output_path
from fcpts_ref.cli.tables import percent
from fcpts_ref.data.preprocessing import as_provenance, preprocessing
from fcpts_ref.errors import InputError, counted, printable
from fcpts_ref.experiments.networks import input_constants
from fcpts_ref.graphs.network import global_rate
from fcpts_ref.interchange.onnx.exporting import export_onnx, includes_normalisation
from fcpts_ref.interchange.onnx.importing import import_onnx
from fcpts_ref.interchange.onnx.metadata import INCLUDED, OMITTED
from fcpts_ref.storage.files import file_sha256, lock_folder
from fcpts_ref.storage.network_files import read_network, write_network

ENDING = ".onnx"
_OF_CHECKPOINTS = ("arch", "shortcut", "channel_order", "classes", "extras")


def is_onnx(path: Path | str) -> bool:
    """Whether a path has the ending of ONNX files."""
    return Path(path).suffix.lower() == ENDING


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add --normalisation."""
    parser.add_argument(
        "--normalisation",
        choices=(INCLUDED, OMITTED),
        help="ONNX: whether the file normalises images in [0, 1] itself (default: included, but "
        "omitted for a network that came as ONNX)",
    )


def refuse_export_options(arguments: argparse.Namespace) -> None:
    """Raise InputError if an option of ONNX files is given for another format."""
    if arguments.normalisation:
        raise InputError(
            f"--normalisation is for ONNX files; {arguments.out} does not end in {ENDING}"
        )


def import_file(arguments: argparse.Namespace) -> int:
    """Run ``models import`` for an ONNX file."""
    for name in _OF_CHECKPOINTS:
        if getattr(arguments, name) is not None:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} is for checkpoints; an ONNX file has its own graph")
    source = Path(arguments.file)
    chosen = None if arguments.preprocess is None else preprocessing(arguments.preprocess)
    if chosen is not None and chosen.order == "BGR":
        raise InputError(
            f"--preprocess {arguments.preprocess} is of a network that reads BGR; put the order "
            "into the ONNX file and give resize/crop/filter in numbers"
        )
    shape = arguments.input or (None if chosen is None else chosen.shape)
    imported = import_onnx(
        source,
        normalise=input_constants(arguments.normalise, arguments.mean, arguments.std, chosen),
        input_shape=None if shape is None else tuple(shape),
    )
    network, graph = imported.network, imported.network.graph
    path = output_path(arguments, source.stem)
    provenance = {
        "made_by": "fcpts-ref models import",
        "source": source.name,
        "sha256": file_sha256(source),
        "opset": imported.opset,
        "producer": imported.producer[:100],
        "normalise": imported.normalise,
        **as_provenance(chosen),
    }
    with lock_folder(path.parent):
        write_network(path, network, provenance)
    summary = {
        "network": graph.name,
        "opset": imported.opset,
        "producer": imported.producer[:100],
        "inputs": {name: list(shape) for name, shape in graph.inputs.items()},
        "outputs": {name: list(shape) for name, shape in graph.output_shapes.items()},
        "normalise": imported.normalise,
        "preprocess": None if chosen is None else str(chosen),
        "nodes": len(graph.nodes),
        "weights": sum(network.sizes.values()),
        "file": str(path),
    }
    print(json.dumps(summary, indent=2) if arguments.json else _text(summary))
    return 0


def _text(summary: Mapping[str, Any]) -> str:
    shapes = [
        ", ".join(f"{printable(name)} {'x'.join(map(str, s))}" for name, s in summary[k].items())
        for k in ("inputs", "outputs")
    ]
    producer = printable(summary["producer"]) or "an unknown program"
    return (
        f"{summary['network']}: ONNX opset {summary['opset']} of {producer}, "
        f"{counted(summary['nodes'], 'node')}, {counted(summary['weights'], 'prunable weight')}\n"
        f"{shapes[0]} normalised by {summary['normalise']}; {shapes[1]}\n"
        f"written to {summary['file']}"
    )


def export_file(arguments: argparse.Namespace) -> int:
    """Run ``models export`` for an ONNX file."""
    if arguments.extras is not None:
        raise InputError("--extras is for checkpoints; an ONNX file has masks applied")
    out = Path(arguments.out)
    network, provenance = read_network(network_path(arguments.network, arguments.home))
    asked = arguments.normalisation
    included = includes_normalisation(network.graph, None if asked is None else asked == INCLUDED)
    method = method_of(provenance)
    model = export_onnx(
        out,
        network,
        normalisation=included,
        sparse=arguments.sparse,
        metadata={"method": method} if method else {},
    )
    summary: dict[str, Any] = {
        "network": network.graph.name,
        "rate": global_rate(network),
        "own_graph": network.graph.source is not None,
        "normalisation": INCLUDED if included else OMITTED,
        "sparse": len(model.graph.sparse_initializer),
        "file": str(out),
    }
    graph = "the graph that it came with" if summary["own_graph"] else "a graph of its nodes"
    text = (
        f"{network.graph.name}: {percent(summary['rate'])} of the weights are zero, {graph}, "
        f"normalisation {summary['normalisation']}, "
        f"{counted(summary['sparse'], 'sparse initialiser')}\n"
        f"written to {out}"
    )
    print(json.dumps(summary, indent=2) if arguments.json else text)
    return 0


def method_of(provenance: Mapping[str, Any]) -> str:
    """Return the method that pruned a network, "" if it is not known."""
    pinned = provenance.get("job")
    job = pinned.get("job") if isinstance(pinned, Mapping) else None
    method = job.get("method") if isinstance(job, Mapping) else None
    return str(method)[:100] if method else ""
