"""Networks as static lists of named nodes, and their execution in NumPy."""
