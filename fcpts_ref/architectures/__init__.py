"""Architectures by name; each is a function that returns a graph."""
