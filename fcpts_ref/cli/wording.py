"""Messages in the words of the command line: options in place of Python's names."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields

from fcpts_ref.cli.common import leaves
from fcpts_ref.errors import InputError
from fcpts_ref.spec.conventions import Conventions

_NAME = r"[a-z][a-z0-9_]*"
_SUBJECT = re.compile(rf"{_NAME}(?= is )|{_NAME}(?:(?:, | and ){_NAME})+(?= are )")
_VALUE = re.compile(rf"(--[\w-]+ )?(?<![\w/.-])({_NAME})=(?:'([^']*)'|([\w.+-]+))")

CONVENTIONS = {field.name for field in fields(Conventions)}
"""Names that --choose sets; some methods have options of the same names."""
TARGET = {"target": "--sparsity"}
"""Names of Python whose options are called otherwise."""


def check_words(words: Sequence[str]) -> None:
    """Refuse empty arguments, as of a variable of the shell that is not set.

    Raises InputError.
    """
    for before, word in zip(("", *words), words, strict=False):
        option = re.fullmatch(r"(--[\w-]+)=", word)
        if option or not word:
            name = option[1] if option else before if before.startswith("-") else "an argument"
            raise InputError(f"{name} is empty; give a value, or omit it")


def with_options(message: str, words: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """Return a message that begins with names of settings, or gives them values, with options.

    "batch_size is 0; expected 1 or more" becomes "--batch-size is 0; ...", and "use views=0"
    "use --views 0", if the command has the option and the former was given in ``words``.
    """
    options = _options(words[0], parser)
    given = {word.split("=")[0] for word in words}
    subject = _SUBJECT.match(message)
    if subject:
        names = re.split(", | and ", subject[0])
        if all(name in options for name in names) and given & {options[name] for name in names}:
            named = re.sub(_NAME, lambda name: options.get(name[0], name[0]), subject[0])
            message = named + message[subject.end() :]
    problem, semicolon, remedy = message.partition(";")
    return problem + semicolon + _VALUE.sub(lambda found: _as_option(found, options), remedy)


def _as_option(found: re.Match[str], options: Mapping[str, str]) -> str:
    """Return name=value as --name value, unless it is the value of an option itself."""
    option, name, quoted, plain = found.groups()
    if option or name not in options or name in CONVENTIONS:
        return found[0]
    return f"{options[name]} {quoted or plain}"


def _options(command: str, parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return the options of a command that take values, by Python's names."""
    found: dict[str, str] = {}
    for leaf in leaves(parser):
        if leaf.prog.removeprefix(f"{parser.prog} ").split(" ")[0] == command:
            for action in leaf._actions:
                if action.option_strings and action.nargs != 0:
                    found[action.dest] = action.option_strings[0]
    return found | {name: o for name, o in TARGET.items() if o in found.values()}
