"""Numba kernels of the fast engine, each beside its NumPy twin in ``fcpts_ref.layers``.

Read in this order: ``layout`` (how an activation lies in memory), ``vectors`` (what one
instruction does), ``convolution_taps`` (a convolution as a table), ``convolution_dense`` and
``sparse_convolution`` (the kernels), ``convolution_plan`` (which of them runs).
"""
