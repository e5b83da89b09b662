"""Methods that learn a threshold or a score for weights by gradient descent: STR, LTP, ProbMask."""
