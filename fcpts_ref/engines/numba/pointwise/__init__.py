"""Kernels that work value by value or channel by channel."""
