"""Data sets: their file format, the CIFAR archives, downloads and where they are kept."""
