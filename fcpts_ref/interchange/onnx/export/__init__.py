"""Our operations as ONNX operators."""
