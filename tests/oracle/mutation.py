"""Replace a function by a subtly wrong one wherever the package refers to it."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

from fcpts_ref.graphs.operations import OPERATIONS
from fcpts_ref.pruning import arithmetic


@contextlib.contextmanager
def replaced(original: Callable[..., Any], wrong: Callable[..., Any]) -> Iterator[None]:
    """Put ``wrong`` in place of ``original`` in modules, the operations' table and arithmetic."""
    undo: list[Callable[[], None]] = []
    wrong = _signed(original, wrong)
    try:
        for module in [m for n, m in sys.modules.items() if n.startswith("fcpts_ref")]:
            for name, value in list(vars(module).items()):
                if value is original:
                    setattr(module, name, wrong)
                    undo.append(lambda m=module, n=name: setattr(m, n, original))
                for key in _keys(value, original):
                    value[key] = wrong
                    undo.append(lambda d=value, k=key: d.__setitem__(k, original))
        for cell in _cells():
            if cell.cell_contents is original:
                cell.cell_contents = wrong
                undo.append(lambda c=cell: setattr(c, "cell_contents", original))
        for name, value in list(vars(arithmetic.NUMPY).items()):
            if value is original:
                object.__setattr__(arithmetic.NUMPY, name, wrong)
                undo.append(lambda n=name: object.__setattr__(arithmetic.NUMPY, n, original))
        assert undo, f"{original} is used nowhere"
        yield
    finally:
        for one in undo:
            one()


def _signed(original: Callable[..., Any], wrong: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``wrong`` the signature of ``original``, so that keyword arguments work."""
    signature = inspect.signature(original)

    @functools.wraps(original)
    def call(*arguments: Any, **settings: Any) -> Any:
        bound = signature.bind(*arguments, **settings)
        return wrong(*bound.args, **bound.kwargs)

    return call


def _keys(value: Any, original: Callable[..., Any]) -> list[Any]:
    """Return the keys of the function in a module's table, such as that of the allocations."""
    return [k for k, v in value.items() if v is original] if isinstance(value, dict) else []


def _cells() -> Iterator[Any]:
    """Yield the closure cells in which the table of operations keeps the layers' functions."""
    for operation in OPERATIONS.values():
        for function in (operation.forward, operation.backward):
            yield from function.__closure__ or ()
