"""Networks from ONNX files, and back: docs/onnx.md."""
