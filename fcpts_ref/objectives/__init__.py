"""Objectives: losses between the dense and the sparse network's outputs, with gradients."""
