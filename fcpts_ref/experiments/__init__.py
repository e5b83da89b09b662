"""Experiments: runs and their folders, grids of runs, training."""
