"""The layout of activations and the buffers that hold them."""
