"""Benchmarks: ``python -m bench NAME``.  They are not tests."""
