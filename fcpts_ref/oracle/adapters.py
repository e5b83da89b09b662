"""What stands between the checker and an implementation: a Python module, or a program.

An adapter answers one case with its outputs by name, or raises ``Unsupported``, ``Rejected`` or
``AdapterError``.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.vectors import Case, Expected, decode_array, export_case

REJECTIONS: tuple[type[BaseException], ...] = (ValueError, TypeError, AssertionError)
EXCERPT = 300  # characters of somebody else's output shown in a message


class Unsupported(Exception):
    """The implementation does not have this operation."""


class Rejected(Exception):
    """The implementation refused the input."""


class AdapterError(Exception):
    """The implementation broke, or broke the protocol."""


class Adapter(Protocol):
    """One implementation under test."""

    name: str
    argument: str  # the command-line option that selects it again

    def run(self, case: Case) -> Mapping[str, Any]:
        """The outputs of the case by name."""


class PythonAdapter:
    """A module with one function per operation, called with the inputs by name.

    A missing function, or one that raises ``NotImplementedError``, is unsupported.  A function
    returns its outputs in the order of the vectors (alone, or as a tuple) or by name as a dict.
    A module that refuses bad input with exceptions other than ``ValueError``, ``TypeError`` and
    ``AssertionError`` names them in a tuple ``REJECTIONS``.
    """

    def __init__(self, module: ModuleType, argument: str) -> None:
        self.name = module.__name__
        self.argument = argument
        self._module = module
        self._rejections = (*REJECTIONS, *getattr(module, "REJECTIONS", ()))

    def run(self, case: Case) -> Mapping[str, Any]:
        """Call the function of the case's operation on copies of the inputs."""
        function = getattr(self._module, case.operation, None)
        if function is None:
            raise Unsupported(f"{self.name} has no function {case.operation}")
        inputs = {name: _copy_input(value) for name, value in case.inputs.items()}
        _check_signature(function, inputs)
        try:
            result = function(**inputs)
        except NotImplementedError as error:
            raise Unsupported(str(error) or f"{case.operation} is not implemented") from None
        except self._rejections as error:
            raise Rejected(f"{type(error).__name__}: {error}") from error
        except Exception as error:
            raise AdapterError(f"{type(error).__name__}: {error}") from error
        return name_outputs(result, tuple(case.outputs))


def _copy_input(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    return [_copy_input(item) for item in value] if isinstance(value, list) else value


def _check_signature(function: Any, inputs: Mapping[str, Any]) -> None:
    try:
        inspect.signature(function).bind(**inputs)
    except TypeError as error:
        raise AdapterError(f"{function.__name__}(...): {error}") from None
    except ValueError:  # a builtin without a signature: let the call tell
        pass


def name_outputs(result: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
    """The outputs by name, from a dict, a tuple in order, or one value alone."""
    if isinstance(result, Mapping):
        return result
    values = tuple(result) if isinstance(result, tuple) else (result,)
    values = tuple(value for value in values if value is not None)  # a gradient of no bias
    if names and len(values) != len(names):
        raise AdapterError(
            f"returned {len(values)} outputs; expected {len(names)}: {', '.join(names)}"
        )
    return dict(zip(names, values, strict=False))


class CommandAdapter:
    """Any program: one case as JSON on standard input, the outputs as JSON on standard output.

    The program answers ``{"status": "ok", "outputs": {...}}``, ``{"status": "rejected"}`` or
    ``{"status": "unsupported"}`` and exits with 0.  It is started once per case.
    """

    def __init__(self, command: str, *, timeout: float = 10.0) -> None:
        self.name = command
        self.argument = f"--command {shlex.quote(command)}"
        self._arguments = shlex.split(command)
        self._timeout = timeout
        if not self._arguments:
            raise InputError("the command is empty; give the program and its arguments")

    def run(self, case: Case) -> Mapping[str, Any]:
        """Start the program, hand it the case, read its answer."""
        answer = self._ask(json.dumps(export_case(case), allow_nan=False))
        message = str(answer.get("message", ""))
        status = answer.get("status", "ok")
        if status == "unsupported":
            raise Unsupported(message or f"the program does not have {case.operation}")
        if status == "rejected":
            raise Rejected(message)
        if status != "ok" or not isinstance(answer.get("outputs"), dict):
            raise AdapterError(
                f"answered status {status!r} with outputs of type "
                f"{type(answer.get('outputs')).__name__}; expected 'ok' and an object"
            )
        return {
            name: _decode_output(name, entry, case.outputs.get(name))
            for name, entry in answer["outputs"].items()
        }

    def _ask(self, question: str) -> dict[str, Any]:
        try:
            process = subprocess.run(
                self._arguments,
                input=question,
                capture_output=True,
                text=True,
                timeout=self._timeout,
                check=False,
            )
        except FileNotFoundError:
            raise InputError(f"no program {self._arguments[0]!r}; give its path") from None
        except PermissionError:
            raise InputError(f"{self._arguments[0]!r} may not be executed") from None
        except subprocess.TimeoutExpired:
            raise AdapterError(f"no answer within {self._timeout:g} s") from None
        except UnicodeDecodeError as error:
            raise AdapterError(f"answered bytes that are no UTF-8: {error}") from None
        if process.returncode != 0:
            said = process.stderr.strip()[-EXCERPT:] or "nothing on standard error"
            raise AdapterError(f"exited with {process.returncode}: {said}")
        try:
            answer = json.loads(process.stdout)
        except ValueError as error:
            raise AdapterError(
                f"answered no JSON ({error}): {process.stdout[:EXCERPT]!r}"
            ) from None
        if not isinstance(answer, dict):
            raise AdapterError(f"answered a JSON {type(answer).__name__}; expected an object")
        return answer


def _decode_output(name: str, entry: Any, expected: Expected | None) -> Any:
    """An output; JSON numbers have no dtype, so one that is not named is the expected one."""
    dtype = "float64" if expected is None else expected.value.dtype.name
    try:
        if isinstance(entry, Mapping):
            return decode_array({"dtype": dtype, **entry})
        return np.array(entry, dtype=dtype)  # a number, or nested lists
    except (InputError, TypeError, ValueError) as error:
        raise AdapterError(f"output {name!r}: {error}") from None


def load_python_adapter(name: str) -> PythonAdapter:
    """The adapter in a module (``my_package.my_module``) or a file (``my_adapter.py``).

    ``reference`` is the package's own implementation.  Raises ``InputError`` where there is none.
    """
    if name == "reference":
        name, argument = "fcpts_ref.oracle.reference", "--adapter reference"
    else:
        argument = f"--adapter {shlex.quote(name)}"
    try:
        return PythonAdapter(_import_module(name), argument)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"cannot import the adapter {name!r} ({type(error).__name__}: {error}); expected "
            "a module or a .py file with one function per operation"
        ) from error


def _import_module(name: str) -> ModuleType:
    if not name.endswith(".py"):
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        return importlib.import_module(name)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"no adapter file {name!r}")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise InputError(f"cannot import {name!r} as Python")
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module
