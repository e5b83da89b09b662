"""The specification: Equations 1-14, conventions, budgets, allocations, optimisers. Pure NumPy."""
