"""The kernels as functions on plain arrays, by the names and arguments of ``fcpts_ref.layers``."""
