"""Settings of a method as dataclass fields that carry their help and their option's name.

The command line, configuration files and stored jobs are all derived from these fields.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fcpts_ref.errors import InputError
from fcpts_ref.storage.records import check_names, check_value

SETTING = "setting"  # the key of ``Shown`` in a field's metadata


@dataclass(frozen=True)
class Shown:
    """The presentation of a field on the command line; see ``setting``."""

    help: str = ""
    option: str | None = None
    choices: Collection[str] = ()
    metavar: str | None = None
    of: Any = None
    group: str = ""


def setting(
    default: Any,
    help: str,
    *,
    option: str | None = None,
    choices: Collection[str] = (),
    metavar: str | None = None,
    of: Any = None,
    group: str = "",
) -> Any:
    """Return a dataclass field with help for the command line.

    default: of the field; ``dict`` for a mapping.  option: the option's name without its dashes,
    if it differs from the field's.  The option of a truth value is a switch that sets the opposite
    of the default.  choices: the allowed texts.  of: for a mapping, the dataclass whose fields name
    its keys and give their types, or the type of its values, such as ``float``, under any key.
    group: the heading in the command's help.
    """
    metadata = {SETTING: Shown(help, option, choices, metavar, of, group)}
    if default is dict:
        return field(default_factory=dict, hash=False, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Setting:
    """One setting of a dataclass: its field, its type, and the option that sets it."""

    name: str
    hint: Any
    kind: Any  # bool, int, float, str, tuple or Mapping: the type without its None
    default: Any
    shown: Shown

    @property
    def option(self) -> str:
        """The option's name without the leading dashes, such as "batch-size"."""
        usual = self.name.replace("_", "-")
        return self.shown.option or (f"no-{usual}" if self.default is True else usual)

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed texts, or none."""
        if self.shown.choices:
            return tuple(self.shown.choices)
        return tuple(get_args(self.hint)) if get_origin(self.hint) is Literal else ()

    def check(self, value: Any, what: str) -> None:
        """Raise InputError unless the value is of the setting's type, whatever its range."""
        optional = self.default is None or type(None) in get_args(self.hint)
        whole = {Mapping: Mapping[str, Any], tuple: tuple[str, ...]}
        if not (optional and value is None):
            check_value(value, whole.get(self.kind, self.kind), what)

    def from_option(self, value: Any) -> Any:
        """Return the setting's value for the option's: a switch, "NAME=VALUE" texts, or itself."""
        what = f"--{self.option}"
        if self.kind is bool:
            switched = check_value(value, bool, what)
            return (not self.default) if switched else self.default
        if self.kind is tuple:
            return check_value(value, tuple[str, ...], what)
        if self.kind is Mapping and not isinstance(value, Mapping):
            return _mapping(check_value(value, tuple[str, ...], what), self.shown.of, what)
        self.check(value, what)
        if self.choices and value not in self.choices:
            raise InputError(f"{what} is {value!r}; expected one of {', '.join(self.choices)}")
        return value


def settings_of(cls: type[Any]) -> dict[str, Setting]:
    """Return the settings of a dataclass by name."""
    hints = get_type_hints(cls)
    found = {}
    for f in fields(cls):
        default = f.default if f.default_factory is MISSING else f.default_factory()
        shown = f.metadata.get(SETTING, Shown())
        found[f.name] = Setting(f.name, hints[f.name], _kind(hints[f.name]), default, shown)
    return found


def _kind(hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _kind(next(a for a in get_args(hint) if a is not type(None)))
    if origin is Literal:
        return type(get_args(hint)[0])
    return origin or hint


def _mapping(pairs: tuple[str, ...], of: Any, what: str) -> dict[str, Any]:
    """Convert NAME=VALUE texts to the types of the fields of ``of``, or to the type ``of``."""
    result: dict[str, Any] = {}
    for pair in pairs:
        name, found, text = pair.partition("=")
        if not found:
            raise InputError(f"{what} {pair}: expected NAME=VALUE")
        kind = of
        if is_dataclass(of):
            known = settings_of(of)  # type: ignore[arg-type]
            check_names([name], known, what, "name")
            kind = known[name].kind
        result[name] = _converted(kind, text, f"{what} {name}={text}")
    return result


def _converted(kind: Any, text: str, what: str) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (KeyError, ValueError) as error:
        words = {bool: "true or false", int: "a whole number", float: "a number"}
        raise InputError(f"{what}: expected {words[kind]}") from error
