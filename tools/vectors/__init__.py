"""Make the conformance vectors from a second derivation, without the code under test.

Nothing here imports equations, layers or methods of the package.  Formulas are evaluated in
extended precision (mpmath), counts and convolutions by plain loops.

    python -m tools.vectors write FOLDER     make the whole suite in a folder
    python -m tools.vectors drift            make it in a scratch folder, report what differs
    python -m tools.vectors freeze           add new cases to data/vectors
"""
