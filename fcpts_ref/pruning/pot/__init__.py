"""POT: layer-wise reconstruction after one-shot pruning."""
