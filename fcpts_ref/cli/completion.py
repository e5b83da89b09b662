"""fcpts-ref completion: a script that completes commands and options in a shell."""

from __future__ import annotations

import argparse
import re
from typing import Any

from fcpts_ref.cli.common import leaves
from fcpts_ref.errors import InputError, install

PATHS = r"\b(FILE|PATH|OUT|RUN|MODULE|PROGRAM)\b|\.h5$"
"""In metavars: arguments that are completed with files."""
SHELLS = ("bash", "zsh", "tcsh")

EPILOG = """\
examples:
  fcpts-ref completion bash > ~/.local/share/bash-completion/completions/fcpts-ref
  fcpts-ref completion zsh > ~/.zfunc/_fcpts-ref

Needs shtab (the extra 'completion').  In zsh, ~/.zfunc must be in fpath.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to ``subparsers``."""
    parser = subparsers.add_parser(
        "completion",
        help="print a script that completes commands and options in a shell",
        description="Print a script that completes commands and options in a shell.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the script and return the exit code."""
    from fcpts_ref.cli import build_parser

    try:
        import shtab
    except ImportError as error:
        raise InputError(f"completion needs shtab; {install('completion')}") from error
    parser = build_parser()
    for action in (action for leaf in leaves(parser) for action in leaf._actions):
        metavar = str(action.metavar)
        if re.search(r"\bFOLDER\b", metavar):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif re.search(PATHS, metavar):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=arguments.shell))
    return 0
