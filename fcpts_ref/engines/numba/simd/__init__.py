"""Vector instructions as Numba intrinsics."""
