"""A reader of pickles that executes nothing in them.

A pickle is a program for a small stack machine.  ``pickletools.genops`` splits it into its
operations; this module implements those that make plain data.  Where a pickle names a function
or class to call, the constructor that the caller registered under that name is called; every
other name is refused, and nothing is ever imported.
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fcpts_ref.errors import InputError, shown

# An operation takes at most a few hundred bytes of memory; a large checkpoint has about 10^5.
MAX_OPERATIONS = 3_000_000
# Calls may copy their arguments, and a pickle may pass the same value many times.
MAX_COPIES = 3  # of all that has been read so far
MAX_BITS = 256  # of an integer
# Large numbers can be chosen to have equal hashes: a dict of many such keys takes forever.
MAX_HASHED = 1 << 60
MAX_LARGE_KEYS = 1000

Constructor = Callable[..., Any]


class _Mark:
    """Marks the beginning of a group of values on the stack."""


_MARK = _Mark()


@dataclass(frozen=True)
class Symbol:
    """A name that the caller admits, called through its constructor or used only as a name."""

    name: str


class Buildable:
    """Base class of constructed objects whose state the pickle may set (BUILD)."""

    def set_state(self, state: Any) -> None:
        """Set the state.  Raises InputError unless a subclass accepts one."""
        raise InputError(f"state for {type(self).__name__}: refused")


class Ignored(Buildable):
    """Placeholder for an admitted object whose contents are not used."""

    def __init__(self, *_: Any) -> None:
        pass

    def set_state(self, state: Any) -> None:
        """Ignore the state."""


class UnknownName(InputError):
    """A pickle names a function or class that is not admitted."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class OrderedDictionary(dict[Any, Any], Buildable):
    """The constructor for collections.OrderedDict: a dict that ignores attributes.

    Python 3 calls it without arguments and sets the items later; Python 2 passes a list of pairs.
    """

    def __init__(self, pairs: Any = ()) -> None:
        super().__init__()
        set_items(self, pairs)

    def set_state(self, state: Any) -> None:
        """Ignore the attribute _metadata, in which torch stores version numbers of modules."""


def set_items(target: dict[Any, Any], pairs: Iterable[Any]) -> None:
    """Put (key, value) pairs into ``target``; InputError for a key that is not plain."""
    for key, value in pairs:
        # Nested tuples as keys could take exponential time to hash.
        if not isinstance(key, str | bytes | int | float | None):
            raise InputError(f"a {type(key).__name__} as a key: refused")
        if len(target) >= MAX_LARGE_KEYS and _is_large_number(key):
            raise InputError("many large numbers as keys: refused")
        target[key] = value


def _is_large_number(key: Any) -> bool:
    return isinstance(key, int | float) and abs(key) > MAX_HASHED


@dataclass
class _Machine:
    constructors: Mapping[str, Constructor | None]
    persistent: Callable[[Any], Any] | None
    consumed: Callable[[], int]  # bytes read so far
    given: int = 0  # elements and bytes passed to calls so far
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise InputError("a mark where a value is expected")
        return value

    def pop_group(self) -> list[Any]:
        """Pop the values above the last mark, and the mark."""
        group: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            group.append(value)
        return group[::-1]

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise InputError(f"a {type(self.stack[-1]).__name__}, expected a {kind.__name__}")
        return self.stack[-1]

    def set_items(self, items: list[Any]) -> None:
        set_items(self.top(dict), zip(items[::2], items[1::2], strict=True))

    def symbol(self, module: Any, name: Any) -> Symbol:
        if not isinstance(module, str) or not isinstance(name, str):
            raise InputError("a name that is not a text: refused")
        full_name = f"{module}.{name}"
        if full_name not in self.constructors:
            raise UnknownName(
                f"it names {shown(full_name)}, which is refused and was not run", full_name[:200]
            )
        return Symbol(full_name)

    def call(self) -> Any:
        arguments, called = self.pop(), self.pop()
        if not isinstance(called, Symbol) or not isinstance(arguments, tuple):
            raise InputError("a call of something that is not a function: refused")
        return self.construct(called.name, arguments)

    def construct(self, name: str, arguments: tuple[Any, ...]) -> Any:
        constructor = self.constructors.get(name)
        if constructor is None:
            raise InputError(f"a call of {name}: refused")
        self.charge(arguments)
        return constructor(*arguments)

    def build(self) -> None:
        state = self.pop()
        self.charge(state if isinstance(state, tuple) else (state,))
        self.top(Buildable).set_state(state)

    def charge(self, values: tuple[Any, ...]) -> None:
        """Limit all that is passed to calls to MAX_COPIES times the bytes read so far."""
        self.given += len(values) + sum(len(v) for v in values if isinstance(v, _SIZED))
        if self.given > MAX_COPIES * self.consumed():
            raise InputError("it multiplies its own contents: refused")

    def persistent_value(self) -> Any:
        if self.persistent is None:
            raise InputError("a reference to data outside the pickle: refused")
        identifier = self.pop()
        self.charge((identifier,))
        return self.persistent(identifier)


_SIZED = (str, bytes, bytearray, list, tuple, dict)


# Operations that push their own argument.
_ARGUMENT = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip

# Operations that push a value made from the stack: (machine) -> value.
_VALUE: dict[str, Callable[[_Machine], Any]] = {
    "NONE": lambda m: None,
    "NEWTRUE": lambda m: True,
    "NEWFALSE": lambda m: False,
    "MARK": lambda m: _MARK,
    "DUP": lambda m: m.stack[-1],
    "EMPTY_LIST": lambda m: [],
    "EMPTY_TUPLE": lambda m: (),
    "EMPTY_DICT": lambda m: {},
    "LIST": lambda m: m.pop_group(),
    "TUPLE": lambda m: tuple(m.pop_group()),
    "TUPLE1": lambda m: (m.pop(),),
    "TUPLE2": lambda m: (m.pop(), m.pop())[::-1],
    "TUPLE3": lambda m: (m.pop(), m.pop(), m.pop())[::-1],
    "STACK_GLOBAL": lambda m: m.symbol(*(m.pop(), m.pop())[::-1]),
    "REDUCE": lambda m: m.call(),
    "NEWOBJ": lambda m: m.call(),
    "EMPTY_SET": lambda m: m.construct("builtins.set", ()),
    "FROZENSET": lambda m: m.construct("builtins.frozenset", (m.pop_group(),)),
    "BINPERSID": lambda m: m.persistent_value(),
}


def _make_dictionary(machine: _Machine) -> None:
    items = machine.pop_group()
    machine.stack.append({})
    machine.set_items(items)


def _append(machine: _Machine, items: list[Any]) -> None:
    machine.top(list).extend(items)


# Operations that change the stack: (machine) -> None.
_CHANGE: dict[str, Callable[[_Machine], Any]] = {
    "POP": lambda m: m.stack.pop(),
    "POP_MARK": lambda m: m.pop_group(),
    "APPEND": lambda m: _append(m, [m.pop()]),
    "APPENDS": lambda m: _append(m, m.pop_group()),
    "ADDITEMS": lambda m: (m.pop_group(), m.top(Ignored)),
    "SETITEM": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m: m.set_items(m.pop_group()),
    "DICT": _make_dictionary,
    "BUILD": lambda m: m.build(),
    "MEMOIZE": lambda m: m.memo.__setitem__(len(m.memo), m.stack[-1]),
}

_NOTHING = {"PROTO", "FRAME"}
_STORE = {"PUT", "BINPUT", "LONG_BINPUT"}
_FETCH = {"GET", "BINGET", "LONG_BINGET"}


def read_pickle(
    stream: io.BytesIO,
    constructors: Mapping[str, Constructor | None],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Return the plain data in the pickle at the stream's position, and stop after it.

    ``constructors`` maps the full name of each admitted function or class to the function that is
    called instead (with the pickle's arguments, unchecked), or to None if the bare name may appear
    but not be called.  ``persistent`` returns the value of a persistent id.

    Python 2's byte strings become str, one character per byte (latin-1).

    Sets are read if ``constructors`` has "builtins.set", which must return Ignored.

    Raises InputError for a broken pickle, for any other name (UnknownName), for data other than
    lists, tuples, dicts with plain keys, numbers, texts, bytes, None and constructed objects, and
    for a pickle that would take more memory or time than its length accounts for.
    """
    begin = stream.tell()
    machine = _Machine(constructors, persistent, lambda: stream.tell() - begin)
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd escapes in a damaged text
            return _run(machine, stream)
    except UnknownName as error:
        where = f"pickle, before byte {machine.consumed()}"
        raise UnknownName(f"{where}: {error}", error.name) from error
    except InputError as error:
        raise InputError(f"pickle, before byte {machine.consumed()}: {error}") from error
    except _BROKEN as error:
        raise InputError(f"broken pickle, before byte {machine.consumed()}") from error


_BROKEN = (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError)


def _run(machine: _Machine, stream: io.BytesIO) -> Any:
    for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
        if count >= MAX_OPERATIONS:
            raise InputError(f"more than {MAX_OPERATIONS} operations")
        if operation.name == "STOP":
            return machine.pop()
        _step(machine, operation.name, argument)
    raise InputError("it has no end")


def _step(machine: _Machine, name: str, argument: Any) -> None:
    if name in _ARGUMENT:
        if isinstance(argument, int) and argument.bit_length() > MAX_BITS:
            raise InputError(f"{shown(argument)}: refused")
        machine.stack.append(argument)
    elif name in _VALUE:
        machine.stack.append(_VALUE[name](machine))
    elif name in _CHANGE:
        _CHANGE[name](machine)
    elif name in _STORE:
        machine.memo[argument] = machine.stack[-1]
    elif name in _FETCH:
        machine.stack.append(machine.memo[argument])
    elif name == "GLOBAL":
        machine.stack.append(machine.symbol(*argument.split(" ", 1)))
    elif name not in _NOTHING:
        raise InputError(f"operation {name}: refused")
