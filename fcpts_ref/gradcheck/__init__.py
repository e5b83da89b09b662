"""Checks of a hand-written derivative against the values of its function.

Three independent checks, all with seeded random cotangents u, never a plain sum:

- adjoint: <u, J v> from central differences in float64 against <J'u, v>, along random v;
- complex: the same with a complex step, accurate to rounding, for analytic functions;
- jacobian: every element of J, columns by central differences, rows by ``backward``.

A function pair follows the layers' contract: ``forward(*inputs, **settings) -> (value, cache)``
and ``backward(dvalue, cache) -> gradients in input order``.  Elements at declared kinks are
skipped; a declared surrogate is compared with its own formula, never with differences.
"""

from fcpts_ref.gradcheck.layers import check_all_layers, format_json, format_table
from fcpts_ref.gradcheck.modules import (
    assert_module_gradients,
    check_module,
    make_module_pair,
)
from fcpts_ref.gradcheck.network import make_network_pair
from fcpts_ref.gradcheck.numeric import METHODS, assert_gradients_match, check_gradients
from fcpts_ref.gradcheck.pair import Finding, Pair, raise_unless_ok
from fcpts_ref.gradcheck.torch_comparison import assert_matches_torch, compare_with_torch

__all__ = [
    "METHODS",
    "Finding",
    "Pair",
    "assert_gradients_match",
    "assert_matches_torch",
    "assert_module_gradients",
    "check_all_layers",
    "check_gradients",
    "check_module",
    "compare_with_torch",
    "format_json",
    "format_table",
    "make_module_pair",
    "make_network_pair",
    "raise_unless_ok",
]
