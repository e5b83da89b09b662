"""Methods that remove channels of whole groups: DSA and its baselines."""
