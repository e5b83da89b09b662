"""FCPTS: its settings, one step of Algorithm 1, and the views of the calibration images."""
