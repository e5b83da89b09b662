"""Checkpoints of other programs: PyTorch files, safetensors, and how they name their arrays."""
