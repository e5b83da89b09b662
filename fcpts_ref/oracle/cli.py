"""The oracle's commands: ``conform list | check | explain`` and ``gradcheck``.

``add_parsers`` mounts them on the command line's subparsers; each sets ``run``, a function of the
parsed arguments that returns the exit code: 0 success, 1 a check failed, 2 bad input.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

OK, FAILED = 0, 1

OUTPUT = Path("-")
"""In place of a file: standard output."""


def add_parsers(subparsers: Any) -> None:
    """Add the commands to an ``argparse`` subparsers object."""
    conform = subparsers.add_parser(
        "conform",
        help="check an implementation against the vectors",
        description="Check an implementation in any language against frozen cases of every "
        "equation and layer (docs/vectors.md).",
    )
    verbs = conform.add_subparsers(dest="verb", required=True, metavar="list|check|explain")
    _add_list(verbs)
    _add_check(verbs)
    _add_explain(verbs)
    _add_gradcheck(subparsers)
    _add_mistake(subparsers)


def _add_mistake(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "explain",
        help="explain a mistake that diverge names, or an equation that check tests",
        description="Show the formula of a known mistake, where it hides in programs, and the\n"
        "right one; or an equation of the conformance vectors, with its source, its cases\n"
        "and common mistakes. Without a name, list all mistakes (docs/mistakes.md has the\n"
        "page, docs/operations-of-vectors.md that of the equations).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="such as kl-swapped, regrown_mask, or eq04"
    )
    parser.add_argument("--of", metavar="QUANTITY", help="list those of one quantity")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run_explain_mistake)


def _add_vectors_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--vectors",
        type=Path,
        metavar="FOLDER",
        help="folder of vectors (default: the embedded ones)",
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="ids, groups, operations or flags to run, like 'eq08*' (may be repeated)",
    )
    _add_vectors_option(parser)


def _add_list(verbs: Any) -> None:
    parser = verbs.add_parser("list", help="list the cases, one per line")
    _add_selection(parser)
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.set_defaults(run=run_list)


def _add_check(verbs: Any) -> None:
    parser = verbs.add_parser("check", help="run the cases against an implementation")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--adapter", metavar="MODULE", help="Python module, .py file, or 'reference'")
    who.add_argument(
        "--command", dest="program", metavar="PROGRAM", help="program that reads and writes JSON"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=10.0,
        help="seconds allowed per case (default: 10)",
    )
    parser.add_argument(
        "--persistent",
        action="store_true",
        help="start the program once: it reads a case a line and answers each with a line",
    )
    _add_selection(parser)
    parser.add_argument(
        "--skip", action="append", default=[], metavar="PATTERN", help="cases to leave out"
    )
    parser.add_argument("--complete", action="store_true", help="let missing operations fail")
    parser.add_argument(
        "--precision",
        choices=("float64", "float32"),
        default="float64",
        help="precision of the implementation; float32 widens the tolerances (default: float64)",
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit XML report")
    parser.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=OUTPUT,
        metavar="FILE",
        help="write a JSON report; without FILE, print it in place of the text",
    )
    parser.add_argument(
        "--badge", type=Path, metavar="FILE", help="write counts for a badge of shields.io"
    )
    parser.set_defaults(run=run_check)


def _add_explain(verbs: Any) -> None:
    parser = verbs.add_parser("explain", help="show everything about one case")
    parser.add_argument("id")
    parser.add_argument("--json", action="store_true", help="print it as a program receives it")
    _add_vectors_option(parser)
    parser.set_defaults(run=run_explain)


def _add_gradcheck(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "gradcheck",
        help="check the derivative of every layer",
        description="Compare the hand-written derivative of every layer with its values: along "
        "random directions, by complex steps, and element by element.",
    )
    parser.add_argument(
        "--pairs",
        metavar="MODULE",
        help="Python module or .py file with a list PAIRS of (pair, inputs), such as\n"
        "make_module_pair returns, in place of the layers of this package",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--directions", type=int, default=3, help="random directions per input (default: 3)"
    )
    parser.add_argument("--json", action="store_true", help="print every comparison as JSON")
    parser.set_defaults(run=run_gradcheck)


def run_list(arguments: argparse.Namespace) -> int:
    """``conform list``"""
    from fcpts_ref.oracle.report import format_list, make_list_json
    from fcpts_ref.oracle.vectors import load_cases, select_cases

    cases = select_cases(load_cases(arguments.vectors), arguments.only)[0]
    print(make_list_json(cases) if arguments.json else format_list(cases))
    return OK


def run_check(arguments: argparse.Namespace) -> int:
    """``conform check``"""
    from tqdm import tqdm

    from fcpts_ref.errors import InputError
    from fcpts_ref.oracle.adapters import CommandAdapter, PersistentAdapter, load_python_adapter
    from fcpts_ref.oracle.check import check
    from fcpts_ref.oracle.report import format_report, make_badge, make_json, make_junit
    from fcpts_ref.oracle.vectors import load_cases

    if arguments.program is not None:
        kind = PersistentAdapter if arguments.persistent else CommandAdapter
        adapter: Any = kind(arguments.program, timeout=arguments.timeout)
    elif arguments.persistent:
        raise InputError("--persistent belongs to --command; a module is imported once anyway")
    else:
        adapter = load_python_adapter(arguments.adapter, timeout=arguments.timeout)
    report = check(
        adapter,
        load_cases(arguments.vectors),
        only=arguments.only,
        skip=arguments.skip,
        precision=arguments.precision,
        complete=arguments.complete,
        watch=lambda cases: tqdm(cases, "checking", unit="case", leave=False, disable=None),
    )
    if arguments.program is not None and arguments.persistent:
        adapter.close()
    reports = (arguments.junit, make_junit), (arguments.json, make_json)
    for path, make in (*reports, (arguments.badge, make_badge)):
        if path is not None and path != OUTPUT:
            _write(path, make(report))
    as_json = arguments.json == OUTPUT
    print(make_json(report).rstrip() if as_json else format_report(report))
    return OK if report.ok else FAILED


def _write(path: Path, text: str) -> None:
    from fcpts_ref.storage.files import write_atomically

    def fill(part: Path) -> None:
        part.write_text(text, encoding="utf-8")

    write_atomically(path, fill)


def run_explain(arguments: argparse.Namespace) -> int:
    """``conform explain``"""
    import json

    from fcpts_ref.errors import InputError
    from fcpts_ref.oracle.report import format_case
    from fcpts_ref.oracle.vectors import export_case, load_cases

    cases = {case.id: case for case in load_cases(arguments.vectors)}
    if arguments.id not in cases:
        raise InputError(
            f"no case {arguments.id[:80]!r}; fcpts-ref conform list shows the ids, and fcpts-ref "
            "explain NAME an equation or an operation"
        )
    case = cases[arguments.id]
    print(json.dumps(export_case(case)) if arguments.json else format_case(case))
    return OK


def run_explain_mistake(arguments: argparse.Namespace) -> int:
    """``explain``"""
    from fcpts_ref.oracle.mistakes.page import find_mistakes, format_mistakes, make_json
    from fcpts_ref.oracle.operation_pages import (
        format_operation,
        format_operations,
        operations_json,
        operations_of_equation,
        read_operations,
    )

    known, name = read_operations(), arguments.name
    names = [name] if name in known else operations_of_equation(name or "")
    if names and arguments.json:
        print(operations_json(names))
        return OK
    if names:
        one = len(names) == 1
        print(format_operation(names[0], known[names[0]]) if one else format_operations(names))
        return OK
    found = find_mistakes(arguments.name, arguments.of)
    print(make_json(found) if arguments.json else format_mistakes(found, arguments.name))
    return OK


def run_gradcheck(arguments: argparse.Namespace) -> int:
    """``gradcheck``"""
    from fcpts_ref.errors import InputError
    from fcpts_ref.gradcheck import check_all_layers, format_json, format_table

    if arguments.seed < 0:
        raise InputError(f"--seed {arguments.seed} is negative; expected 0 or more")
    if arguments.pairs is None:
        findings = check_all_layers(seed=arguments.seed, directions=arguments.directions)
    else:
        from fcpts_ref.oracle.pairs import check_pairs

        findings = check_pairs(arguments.pairs, arguments.seed, arguments.directions)
    print(format_json(findings) if arguments.json else format_table(findings))
    return OK if findings and all(finding.ok for finding in findings) else FAILED
