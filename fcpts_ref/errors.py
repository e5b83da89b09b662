"""The one exception that means: the input was bad, not the program."""


class InputError(ValueError):
    """Bad input from a user or a file.

    The message is one line: what came in, what was expected, what to do.  The command
    line prints it and exits with code 2.
    """
