"""Adapters between the checker and an implementation: a Python module or any program.

An adapter returns the outputs of one case by name, or raises ``Unsupported``, ``Rejected`` or
``AdapterError``.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import importlib.util
import inspect
import json
import math
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from fcpts_ref.errors import InputError, counted
from fcpts_ref.oracle.contained import contained
from fcpts_ref.oracle.program import MAXIMUM_OUTPUT, Conversation, UnaskedError, run_program
from fcpts_ref.oracle.vectors import Case, Expected, decode_array, export_case
from fcpts_ref.storage.files import describe_failure
from fcpts_ref.storage.json_files import parse_json

REJECTIONS: tuple[type[BaseException], ...] = (ValueError, TypeError, AssertionError)
NUMBERS = "biufcUS"  # kinds of dtypes that outputs may have; objects may run code
FLOAT_DIGITS = 310  # of the largest float and its sign, written without an exponent
EXCERPT = 300  # characters of the implementation's output shown in a message
LONGEST = 86_400.0  # seconds; the largest time limit accepted


class Unsupported(Exception):
    """The implementation does not have this operation."""


class Rejected(Exception):
    """The implementation refused the input."""


class AdapterError(Exception):
    """The implementation crashed or violated the protocol."""


class Adapter(Protocol):
    """One implementation under test."""

    name: str
    argument: str  # the command-line option that selects this adapter

    def run(self, case: Case) -> Mapping[str, Any]:
        """Return the outputs of the case by name."""


class TimeLimit(BaseException):
    """A function took too long; no ``except Exception`` of its own stops this."""


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TimeLimit in a block of Python that takes longer.

    It needs the main thread and POSIX's timers; elsewhere, and in compiled code that does not
    return to Python, there is no limit.
    """
    main = threading.current_thread() is threading.main_thread()
    if seconds is None or not main or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def check_timeout(timeout: float | None) -> None:
    """Raise InputError unless it is None or a number of seconds."""
    if timeout is not None and not (math.isfinite(timeout) and 0 < timeout <= LONGEST):
        raise InputError(
            f"the time limit is {timeout}; expected seconds above 0, at most {LONGEST:,.0f}"
        )


class PythonAdapter:
    """A module with one function per operation, called with the inputs by name.

    A missing function, or one that raises ``NotImplementedError``, is unsupported.  A function
    returns its outputs in the order of the vectors (alone, or as a tuple) or by name as a dict.
    A module that refuses bad input with exceptions other than ``ValueError``, ``TypeError`` and
    ``AssertionError`` names them in a tuple ``REJECTIONS``.
    """

    def __init__(self, module: ModuleType, argument: str, *, timeout: float | None = None) -> None:
        check_timeout(timeout)
        self._timeout = timeout
        self.name = module.__name__
        self.argument = argument
        self._module = module
        self._rejections = (*REJECTIONS, *_named_rejections(module))

    @property
    def functions(self) -> list[str]:
        """The names of the functions that the module defines itself."""
        own = vars(self._module).items()
        return [n for n, f in own if inspect.isfunction(f) and f.__module__ == self.name]

    def run(self, case: Case) -> Mapping[str, Any]:
        """Call the function of the case's operation on copies of the inputs.

        Nothing that it does or returns ends the check: its values may run code when they are read.
        """
        try:
            with contained(), time_limit(self._timeout):
                return self._answer(case)
        except (Unsupported, Rejected, AdapterError, KeyboardInterrupt):
            raise
        except TimeLimit:
            raise AdapterError(f"no answer within {self._timeout:g} s") from None
        except BaseException as error:  # SystemExit too
            raise AdapterError(describe(error)) from error

    def _answer(self, case: Case) -> Mapping[str, Any]:
        function = getattr(self._module, case.operation, None)
        if function is None:
            raise Unsupported(f"{self.name} has no function {case.operation}")
        if not callable(function):
            raise AdapterError(
                f"{case.operation} is of type {type(function).__name__}; expected a function"
            )
        inputs = {name: _copy_input(value) for name, value in case.inputs.items()}
        _check_signature(case.operation, function, inputs)
        try:
            result = function(**inputs)
        except NotImplementedError as error:
            raise Unsupported(_text(error) or f"{case.operation} is not implemented") from None
        except self._rejections as error:
            raise Rejected(describe(error)) from error
        return _as_arrays(name_outputs(result, tuple(case.outputs)), case)


def _copy_input(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    return [_copy_input(item) for item in value] if isinstance(value, list) else value


def _named_rejections(module: ModuleType) -> tuple[type[BaseException], ...]:
    """Return the tuple ``REJECTIONS`` of a module, empty if it has none.

    Raises InputError if it is anything else.
    """
    named = getattr(module, "REJECTIONS", ())
    classes = isinstance(named, tuple) and all(
        isinstance(item, type) and issubclass(item, BaseException) for item in named
    )
    if not classes:
        raise InputError(
            f"REJECTIONS of the adapter {module.__name__!r} is of type {type(named).__name__}; "
            "expected a tuple of exception classes"
        )
    return tuple(named)


def _check_signature(operation: str, function: Any, inputs: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin without a signature: the call will tell
        return
    try:
        signature.bind(**inputs)
    except TypeError as error:
        raise AdapterError(f"{operation}(...): {error}") from None


def describe(error: BaseException) -> str:
    """Return the type and the text of an exception, even if its ``__str__`` fails."""
    if isinstance(error, SystemExit):
        return f"called sys.exit({_text(error)})"
    return f"{type(error).__name__}: {_text(error)}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return "(no text: its __str__ fails)"


def _as_arrays(outputs: Mapping[str, Any], case: Case) -> dict[str, Any]:
    """Return the outputs as arrays, without those that the case does not have."""
    arrays = {}
    for name in case.outputs:
        value = None
        try:
            if name in outputs:
                value = outputs[name]
                arrays[name] = np.asarray(value)
                if arrays[name].dtype.kind not in NUMBERS:
                    raise TypeError(f"it is of dtype {arrays[name].dtype}")
        except Exception as error:  # raised by __array__, as of a tensor that requires grad
            raise AdapterError(
                f"output {name!r} of type {type(value).__name__} does not convert to a "
                f"NumPy array ({describe(error)}); return one, such as tensor.detach().numpy()"
            ) from None
    return arrays


def name_outputs(result: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the outputs by name, from a dict, a tuple in order, or a single value."""
    if isinstance(result, Mapping):
        return result
    values = tuple(result) if isinstance(result, tuple) else (result,)
    values = tuple(value for value in values if value is not None)  # the gradient of an absent bias
    if names and len(values) != len(names):
        raise AdapterError(
            f"returned {counted(len(values), 'output')}; expected {len(names)}: {', '.join(names)}"
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
        self._timeout = timeout
        check_timeout(timeout)
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise InputError(f"the command {command!r} cannot be read: {error}") from None
        if not self._arguments:
            raise InputError("the command is empty; give the program and its arguments")

    def run(self, case: Case) -> Mapping[str, Any]:
        """Start the program, hand it the case, read its answer."""
        answer = self._ask(json.dumps(export_case(case), allow_nan=False))
        message = str(answer.get("message", ""))[:EXCERPT]
        status = answer.get("status", "ok")
        if status == "unsupported":
            raise Unsupported(message or f"the program does not have {case.operation}")
        if status == "rejected":
            raise Rejected(message)
        if status != "ok" or not isinstance(answer.get("outputs"), dict):
            raise AdapterError(
                f"answered with status {str(status)[:EXCERPT]!r} and outputs of type "
                f"{type(answer.get('outputs')).__name__}; expected 'ok' and an object"
            )
        return {
            name: _decode_output(name, entry, case.outputs.get(name))
            for name, entry in answer["outputs"].items()
        }

    def _ask(self, question: str) -> dict[str, Any]:
        program = self._arguments[0]
        try:
            answer = run_program(self._arguments, question.encode(), timeout=self._timeout)
        except FileNotFoundError:
            raise InputError(f"no program {program!r}; give its path") from None
        except PermissionError:
            raise InputError(f"no permission to execute {program!r}") from None
        except subprocess.TimeoutExpired:
            raise AdapterError(f"no answer within {self._timeout:g} s") from None
        except OSError as error:
            raise InputError(_describe_start(program, error)) from None
        except ValueError as error:  # a zero byte in an argument
            raise InputError(f"{program!r} cannot be started: {error}") from None
        if answer.too_long:
            raise AdapterError(f"wrote more than {MAXIMUM_OUTPUT >> 20} MiB; it was stopped")
        if answer.status != 0:
            errors = answer.errors.decode(errors="replace").strip()[-EXCERPT:]
            raise AdapterError(
                f"exited with {answer.status}: {errors or 'nothing on standard error'}"
            )
        return _decode_answer(answer.output)


class PersistentAdapter(CommandAdapter):
    """A program that is started once: it reads a case a line, and writes each answer as a line.

    It ends when its standard input does.  After a crash, a timeout or an answer that is none it is
    started again.
    """

    def __init__(self, command: str, *, timeout: float = 10.0) -> None:
        super().__init__(command, timeout=timeout)
        self.argument += " --persistent"
        self._conversation: Conversation | None = None

    def run(self, case: Case) -> Mapping[str, Any]:
        """Hand the program the case, read its answer; start it again after a wrong one."""
        try:
            return super().run(case)
        except AdapterError:  # it may write more, which would be taken for later answers
            self.close()
            raise

    def _ask(self, question: str) -> dict[str, Any]:
        program = self._arguments[0]
        try:
            if self._conversation is None:
                self._conversation = Conversation(self._arguments)
            answer = self._conversation.ask(question.encode(), timeout=self._timeout)
        except FileNotFoundError:
            raise InputError(f"no program {program!r}; give its path") from None
        except PermissionError:
            raise InputError(f"no permission to execute {program!r}") from None
        except subprocess.TimeoutExpired:
            raise AdapterError(f"no answer within {self._timeout:g} s") from None
        except UnaskedError:
            raise AdapterError("wrote a line before it was asked; expected one a case") from None
        except OSError as error:
            raise InputError(_describe_start(program, error)) from None
        except ValueError as error:  # a zero byte in an argument
            raise InputError(f"{program!r} cannot be started: {error}") from None
        if answer is None:
            status, errors = self.close()
            text = errors.decode(errors="replace").strip()[-EXCERPT:]
            raise AdapterError(
                f"ended with {status} before it answered, or wrote more than "
                f"{MAXIMUM_OUTPUT >> 20} MiB in a line: {text or 'nothing on standard error'}"
            )
        return _decode_answer(answer)

    def close(self) -> tuple[int, bytes]:
        """End the program; return its exit status and its errors."""
        conversation, self._conversation = self._conversation, None
        return (0, b"") if conversation is None else conversation.close()


def _describe_start(program: str, error: OSError) -> str:
    if error.errno == errno.ENOEXEC:
        return f"{program!r} is not a program; a script starts with a line such as #!/bin/sh"
    return describe_failure(f"cannot start {program!r}", error)


def _decode_answer(output: bytes) -> dict[str, Any]:
    try:
        text = output.decode()
    except UnicodeDecodeError as error:
        raise AdapterError(f"answered with bytes that are not UTF-8: {error}") from None
    try:
        answer = parse_json(text, digits=FLOAT_DIGITS)
    except ValueError as error:
        raise AdapterError(f"did not answer with JSON ({error}): {text[:EXCERPT]!r}") from None
    if not isinstance(answer, dict):
        raise AdapterError(f"answered with a JSON {type(answer).__name__}; expected an object")
    return answer


def _decode_output(name: str, entry: Any, expected: Expected | None) -> Any:
    """Decode an output.  JSON numbers have no dtype: without one, the expected one is used."""
    dtype = "float64" if expected is None else expected.value.dtype.name
    try:
        if isinstance(entry, Mapping):
            return decode_array({"dtype": dtype, **entry})
        return np.array(entry, dtype=dtype)  # a number, or nested lists
    except (InputError, TypeError, ValueError, OverflowError) as error:
        raise AdapterError(f"output {name!r}: {error}") from None


def load_python_adapter(name: str, *, timeout: float | None = None) -> PythonAdapter:
    """Load the adapter in a module (``my_package.my_module``) or a file (``my_adapter.py``).

    ``reference`` is the package's own implementation.  timeout: seconds a case; none by default.
    Raises ``InputError`` if the
    adapter does not exist or cannot be imported.
    """
    if name == "reference":
        name, argument = "fcpts_ref.oracle.reference", "--adapter reference"
    else:
        argument = f"--adapter {shlex.quote(name)}"
    try:
        with contained():
            return PythonAdapter(import_module(name), argument, timeout=timeout)
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too: scripts end with sys.exit()
        raise InputError(
            f"cannot import the adapter {name!r} ({describe(error)}); expected a module or a .py "
            "file with one function per operation, and script code under "
            'if __name__ == "__main__"'
        ) from error


def import_module(name: str) -> ModuleType:
    if not name.endswith(".py"):
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        return importlib.import_module(name)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"there is no file {name!r}; give the path of a .py file, or a module")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise InputError(f"cannot import {name!r} as Python")
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module
