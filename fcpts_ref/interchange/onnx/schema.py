"""ONNX's own definitions of its operators: a node's settings and inputs are checked by them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.interchange.onnx.library import onnx_library


@dataclass(frozen=True)
class Definition:
    """What an operator takes: the range of inputs, its settings' types, and those it requires."""

    inputs: tuple[int, int]
    required_inputs: tuple[str, ...]  # the first ones; none may be left out
    types: dict[str, int]  # as in AttributeProto
    required: frozenset[str]


@functools.lru_cache(maxsize=1024)
def definition(operator: str, opset: int) -> Definition | None:
    """Return the definition of an operator, None if the library does not know it."""
    defs = onnx_library().defs
    try:
        schema = defs.get_schema(operator, opset, "")
    except defs.SchemaError:
        return None
    formal = schema.inputs[: schema.min_input]
    settings = schema.attributes.values()
    return Definition(
        (schema.min_input, schema.max_input),
        tuple(i.name for i in formal if i.option == i.option.Single),
        {setting.name: setting.type.value for setting in settings},
        frozenset(setting.name for setting in settings if setting.required),
    )


def check_by_schema(proto: Any, opset: int) -> None:
    """Check the types of a node's settings, and that it has the inputs that its operator requires.

    Raises InputError.  A node whose operator the library does not know passes, as do settings it
    does not know: both are refused, or not needed, later.
    """
    known = definition(proto.op_type, opset)
    if known is None:
        return
    name = f"{shown(proto.op_type)[1:-1]} {shown(proto.name)}"
    (fewest, most), count = known.inputs, len(proto.input)
    if not fewest <= count <= most:
        raise InputError(f"{name} has {counted(count, 'input')}; expected {fewest} to {most}")
    for place, formal in enumerate(known.required_inputs):
        if not proto.input[place]:
            raise InputError(f"{name} has no input {formal!r}; expected one")
    given = {setting.name: setting.type for setting in proto.attribute}
    lacking = sorted(known.required - set(given))
    if lacking:
        raise InputError(f"{name} lacks the setting {lacking[0]!r}; expected one")
    kind = onnx_library().AttributeProto.AttributeType.Name
    for setting, type_ in given.items():
        if type_ != known.types.get(setting, type_):
            raise InputError(
                f"{name} has the setting {setting!r} of the type {kind(type_)}; "
                f"expected {kind(known.types[setting])}"
            )
