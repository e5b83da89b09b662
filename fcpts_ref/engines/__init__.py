"""Engines that run a graph forward and backward: the NumPy reference and the Numba kernels."""
