"""A search of settings on held-out training images: ``python -m tools.search``."""
