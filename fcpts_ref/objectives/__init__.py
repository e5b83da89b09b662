"""Objectives: what the sparse network should keep of the dense one, with gradients."""
