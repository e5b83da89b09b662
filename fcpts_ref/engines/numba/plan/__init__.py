"""The plan of a network: fused steps, their order and their memory."""
