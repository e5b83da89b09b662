"""The oracle: is another implementation right, and where is it not?

Frozen conformance vectors and the checker that runs them (``vectors``, ``check``); traces of whole
steps and the first point where two part (``trace``, ``replay``, ``diverge``), with its likely cause
(``explain``, ``slips``).  Nothing is read or imported before it is asked for.
"""
