"""Methods that learn masks by gradient descent: STR, LTP, ProbMask, ST-3, RigL, Spartan."""
