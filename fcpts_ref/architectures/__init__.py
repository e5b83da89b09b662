"""Architectures; each is a function that returns a graph."""
