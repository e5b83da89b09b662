"""The onnx package, which is optional: it parses the files and declares their format."""

from __future__ import annotations

from typing import Any

from fcpts_ref.errors import InputError, install


def onnx_library() -> Any:
    """Return the package ``onnx``.  Raises InputError, with the way to install it, without it."""
    try:
        import onnx
    except ImportError as error:
        raise InputError(
            f"ONNX files need the package onnx ({error}); {install('onnx')}"
        ) from error
    return onnx
