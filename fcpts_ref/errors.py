"""The exception for bad input, and descriptions of values from files for its messages."""

MAX_SHOWN = 80  # characters of a text from a file in a message


class InputError(ValueError):
    """Bad input from a user or a file.

    The message is one line: what came in, what was expected, what to do.  The command
    line prints it and exits with code 2.
    """


def install(extra: str) -> str:
    """Return how to install an optional package, for a message."""
    return f"install it in a checkout of fcpts-ref with: pip install '.[{extra}]'"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, as in "1 network" and "1,000 classes".

    plural: where it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def shown(value: object) -> str:
    """Return a short printable description of a value from a file of unknown origin.

    Containers are named by their type only: a small file can describe one that takes forever to
    print.
    """
    if isinstance(value, str | bytes):
        return ascii(value[:MAX_SHOWN])
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, int | float):
        return str(value)
    return f"a {type(value).__name__}"


def printable(text: str) -> str:
    """Return ``text`` in one line with control characters escaped: they could steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
