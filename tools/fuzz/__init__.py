"""Fuzzing of every reader of files, guided by coverage (atheris)."""
