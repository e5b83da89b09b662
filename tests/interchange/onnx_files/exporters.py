"""torch.onnx.export, by both exporters."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")


def export(
    module: Any, side: int, path: Path, *, opset: int, dynamo: bool, open_batch: bool
) -> None:
    """Write a module as ONNX.  dynamo: the newer exporter.  open_batch: a symbolic first axis."""
    images = torch.rand(2 if open_batch else 1, 3, side, side)
    settings: dict[str, Any] = {"opset_version": opset, "dynamo": dynamo, "verbose": False}
    if open_batch and dynamo:
        settings["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    elif open_batch:
        settings |= {"input_names": ["x"], "output_names": ["y"]}
        settings["dynamic_axes"] = {"x": {0: "batch"}, "y": {0: "batch"}}
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(module, (images,), str(path), **settings)
    finally:
        logging.disable(logging.NOTSET)
