"""Numba kernels of the fast engine, each beside its NumPy twin.

Read in this order: ``compilation`` (the flags, one place), ``for_each`` (how threads share a loop),
``layout`` (how an activation lies in memory), ``vectors`` (what one instruction does);
``convolution_taps`` (a convolution as a table), ``convolution_dense`` and ``winograd`` (the kernels
for all weights), ``sparse_index``, ``sparse_convolution`` and ``row_convolution`` (those for the
kept), ``convolution_plan`` (which of them runs); ``activation``, ``moments``, ``batch_norm`` (what
comes after); then the engine: ``fusion`` (which nodes run as one), ``steps``, ``plan`` (their order
and memory), ``engine``.  ``layers``, ``equations``, ``optim`` and ``projection`` have the functions
of the NumPy side by the same names.
"""

from fcpts_ref.engines.numba.jit.threads import prefer_tbb

prefer_tbb()
