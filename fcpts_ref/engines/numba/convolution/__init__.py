"""Convolution kernels: dense, sparse, by rows and by Winograd's algorithm."""
