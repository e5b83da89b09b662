"""Pruning methods: FCPTS, POT and one-shot, with one interface for all."""
