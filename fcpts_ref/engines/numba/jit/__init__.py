"""Compilation, threads and the loop that shares work among them."""
