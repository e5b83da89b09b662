"""Engines that run a graph forward and backward: the NumPy reference and fast Numba kernels."""
