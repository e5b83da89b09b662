"""Networks as static lists of named nodes, and how they run in NumPy."""
