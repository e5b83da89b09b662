"""Winograd's algorithm for 3x3 convolutions and their weight gradient."""
