"""Texts in an ONNX file: protobuf hands over those that are no UTF-8 as bytes."""

from __future__ import annotations

from typing import Any

from fcpts_ref.errors import InputError


def check_texts(model: Any) -> None:
    """Raise InputError if a text anywhere in a message is not UTF-8."""
    waiting = [model]
    while waiting:
        for field, value in waiting.pop().ListFields():
            if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
                continue
            single = isinstance(value, str | bytes) or hasattr(value, "ListFields")
            values = [value] if single else value
            if field.type == field.TYPE_MESSAGE:
                waiting.extend(values)
            elif any(isinstance(text, bytes) for text in values):
                raise InputError(f"a {field.name} in it is not text in UTF-8: get the file again")
