"""Checkpoints of other programs: PyTorch and safetensors."""
