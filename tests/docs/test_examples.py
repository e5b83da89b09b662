"""Examples: all show their usage; from_torch.py gives the same logits in both programs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROGRAMS = {
    "own_network.py": (),
    "photographs.py": ("safetensors", "PIL"),
    "from_torch.py": ("torch", "onnx", "onnxruntime"),
    "record_torch.py": ("torch",),
    "trace_torch.py": ("torch",),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_from_torch(tmp_path: Path) -> None:
    for package in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(package)
    spec = importlib.util.spec_from_file_location("from_torch", EXAMPLES / "from_torch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(tmp_path) < 1e-4


@pytest.mark.parametrize("name", PROGRAMS)
def test_without_arguments_they_show_their_usage(name: str) -> None:
    for package in PROGRAMS[name]:
        pytest.importorskip(package)
    found = subprocess.run(
        [sys.executable, EXAMPLES / name], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2, found.stderr
    assert f"python examples/{name}" in found.stderr
    assert not found.stdout
