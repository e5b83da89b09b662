"""Kernels for the arithmetic of a pruning step over whole layers."""
