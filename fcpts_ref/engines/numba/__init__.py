"""The fast engine: a graph run by Numba kernels.

Reading order:

1. ``jit``: ``host`` (the vector registers), ``compilation`` (the flags of all kernels, and the
   cache), ``for_each`` (how threads share a loop), ``threads``;
2. ``tuning``: the constants that were chosen by measuring;
3. ``memory``: ``layout`` (how an activation is stored), ``buffers``;
4. ``simd``: ``types``, ``emit``, ``vectors`` (one instruction each), ``register_tiles`` (the inner
   steps of the kernels);
5. ``pointwise``: ``activation``, ``partial_sums``, ``batch_norm``, ``pooling``, ``shortcut``;
6. ``convolution``: ``taps`` (a convolution as a table), ``tiling``; the kernels ``panels``,
   ``dense``, ``dense_gradient``,
   ``winograd``, ``sparse`` and ``rows``; ``kept_weights``, ``correlation``, ``gradient``,
   ``choice`` (which kernel runs), ``plan`` (a layer), ``linear``;
7. ``tokens``: dense products by BLAS, kernels over rows of features;
8. ``plan``: ``fusion`` (which nodes run together), ``step``, ``steps``, ``weighted_steps``,
   ``token_steps``, ``attention_steps``, ``plan`` (their order and memory);
9. ``engine``: ``Engine`` on these plans; ``warmup``: compiling before a run needs it;
10. ``predictor``: inference with fixed weights. ``jit.capture`` records the loops of kernels,
    ``plan.loops`` says which steps are such loops, ``plan.program`` runs them.

``pruning`` has the arithmetic of a pruning step, independent of graphs.
"""

from fcpts_ref.engines.numba.jit.threads import prefer_tbb

prefer_tbb()
