"""The oracle: is another implementation right, and if not, where does it go wrong?

Frozen conformance vectors and the checker that runs them (``vectors``, ``check``); traces of whole
steps and the first quantity at which two of them differ (``trace``, ``replay``, ``diverge``), with
its likely cause (``explain``, ``mistakes``).  Importing the package imports none of these.
"""
