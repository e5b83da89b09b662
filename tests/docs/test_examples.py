"""examples/from_torch.py runs and gives the same logits in onnxruntime and PyTorch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "from_torch.py"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_from_torch(tmp_path: Path) -> None:
    for package in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(package)
    spec = importlib.util.spec_from_file_location("from_torch", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(tmp_path) < 1e-4
