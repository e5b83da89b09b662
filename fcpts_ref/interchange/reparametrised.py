"""Weights that PyTorch stores in parts: pruned ones are combined, normalised ones refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fcpts_ref.errors import InputError, shown

Array = NDArray[Any]

MASK_SUFFIX = "_mask"  # conv1.weight_mask, as torch.nn.utils.prune names them
ORIGINAL_SUFFIX = "_orig"  # conv1.weight_orig: the weight before the mask is applied

# (ending of a name, its reparametrisation, how to undo it)
_NORMS = (
    (".parametrizations.weight.original0", "weight normalisation", "parametrize"),
    (
        ".parametrizations.weight.original",
        "a parametrisation, such as spectral norm",
        "parametrize",
    ),
    (".weight_g", "weight normalisation", "remove_weight_norm(module)"),
    (".weight_u", "spectral normalisation", "remove_spectral_norm(module)"),
)
_PARAMETRIZE = 'parametrize.remove_parametrizations(module, "weight")'


def split_masks(state: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the arrays without their masks, and the masks by the names of the arrays.

    NAME_mask belongs to NAME, or to NAME_orig, which is then called NAME.
    Raises InputError, with the way to undo it, for weight and spectral normalisation.
    """
    _refuse_norms(state)
    arrays = dict(state)
    masks = {}
    for name in state:
        base = name.removesuffix(MASK_SUFFIX)
        if base == name:
            continue
        if base not in arrays and base + ORIGINAL_SUFFIX in arrays:
            arrays[base] = arrays.pop(base + ORIGINAL_SUFFIX)
        if base in arrays:
            masks[base] = arrays.pop(name)
    return arrays, masks


def _refuse_norms(state: Mapping[str, Array]) -> None:
    for name in state:
        for ending, kind, remedy in _NORMS:
            if f".{name}".endswith(ending):
                undo = _PARAMETRIZE if remedy == "parametrize" else remedy
                raise InputError(
                    f"{shown(name)} is of {kind}, which is not supported: before saving, undo it "
                    f"by torch.nn.utils.{undo}"
                )
