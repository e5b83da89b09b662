"""Tokens: rows of features, and their products by BLAS."""
