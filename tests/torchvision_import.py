"""torchvision, whichever PyTorch it was built for."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import pytest

MISSING = ("nms", "qnms")
"""Operators of detectors, which torchvision describes to PyTorch whether or not it has them."""


def import_torchvision() -> Any:
    """Return torchvision; skip the test, or the whole file, where it is not installed.

    A wheel for CUDA cannot load its operators beside a PyTorch for CPUs, and its import then fails.
    Transforms and classifiers use none of them, so they are declared without a body.
    """
    torch = pytest.importorskip("torch")
    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed", allow_module_level=True)
    try:
        import torchvision
    except RuntimeError:
        for name in MISSING:
            schema = "(Tensor boxes, Tensor scores, float limit) -> Tensor"
            torch.library.define(f"torchvision::{name}", schema)
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            if name != __name__:
                del sys.modules[name]  # what the first attempt left
        import torchvision
    return torchvision
