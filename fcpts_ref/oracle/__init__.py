"""The oracle: frozen conformance vectors, and the checker that runs them against an implementation.

Nothing is read or imported before it is asked for: ``fcpts_ref.oracle.check`` and its neighbours
are plain modules.
"""
