"""A report of the checker as text for people, and as JUnit XML and JSON for programs."""

from __future__ import annotations

import json
import textwrap
import xml.etree.ElementTree as ElementTree
from typing import Any

from fcpts_ref.errors import counted, shown
from fcpts_ref.oracle.check import Report, Result
from fcpts_ref.oracle.compare import Difference
from fcpts_ref.oracle.operation_pages import read_operations
from fcpts_ref.oracle.vectors import Case

MOST_ITEMS = 40  # of a list in a text
XML_FORBIDDEN = dict.fromkeys(i for i in range(32) if i not in (9, 10, 13))


def format_report(report: Report, *, failures_shown: int = 20) -> str:
    """Return the report as text: failures and errors in full, unsupported operations, counts."""
    accepted = [r for r in report.results if r.status == "fail" and r.case.reject is not None]
    bad = [r for r in report.results if r.status in ("fail", "error") and r not in accepted]
    bad.sort(key=lambda r: r.status != "fail")  # wrong values first, then crashes
    groups = _group_errors(bad)
    lines = [line for same in groups[:failures_shown] for line in _format_same(report, same)]
    if hidden := sum(map(len, groups[failures_shown:])):
        lines.append(f"... and {hidden} more; --json FILE has them all")
    lines += _format_accepted(accepted)
    unsupported = sorted({r.case.operation for r in report.results if r.status == "unsupported"})
    if unsupported:
        lines.append(_wrapped("unsupported operations: ", unsupported))
    lines.append(format_counts(report))
    return "\n".join(lines)


def _group_errors(bad: list[Result]) -> list[list[Result]]:
    """Put errors of one operation with one message together, such as a wrong argument's name."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in bad:
        error = result.status == "error"
        key = (result.case.operation, result.message) if error else (result.case.id,)
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def _format_same(report: Report, same: list[Result]) -> list[str]:
    """Format the first of the results, with the ids of the others."""
    first, *others = same
    *lines, blank = format_failure(report, first)
    if others:
        lines.append(_wrapped("    the same in: ", [result.case.id for result in others]))
    return [*lines, blank]


def _wrapped(start: str, words: list[str]) -> str:
    """Join words by commas, in lines of 80 columns."""
    text = start + ", ".join(words)
    return textwrap.fill(text, width=80, subsequent_indent=" " * 4, break_on_hyphens=False)


def _format_accepted(accepted: list[Result]) -> list[str]:
    """Sum up the cases whose bad input was computed with: one line for each operation."""
    if not accepted:
        return []
    by_operation: dict[str, list[str]] = {}
    for result in accepted:
        by_operation.setdefault(result.case.operation, []).append(result.case.id)
    lines = [f"FAIL {counted(len(accepted), 'case')} of bad input that must be refused (REJECT):"]
    lines += [_wrapped(f"    {operation}: ", ids) for operation, ids in by_operation.items()]
    return [*lines, f"    {accepted[0].case.notes['REJECT']['effect']}", ""]


def format_failure(report: Report, result: Result) -> list[str]:
    """Format one failure or error: the case, the difference, its effect, how to repeat it."""
    case, difference = result.case, result.difference
    lines = [
        f"{result.status.upper()} {case.id} {case.operation} ({case.source}): {case.comment}",
        f"    {result.message}",
    ]
    if difference is not None and difference.problem == "value" and difference.size > 1:
        lines.append(f"    {difference.wrong} of {difference.size} elements are wrong")
    if result.cause:
        lines.append(f"    likely: {result.cause}")
    if case.conventions:
        lines.append(f"    open points tested: {', '.join(map(str, case.conventions))}")
    if case.operation in read_operations():
        lines.append(f"    explain it: fcpts-ref explain {case.operation}")
    lines += [f"    {flag}: {note['effect']}" for flag, note in case.notes.items()]
    return [*lines, f"    repeat: {report.reproduce(result)}", ""]


def format_counts(report: Report) -> str:
    """Return the last line: the verdict and the number of cases in each status."""
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    verdict = "conforms" if report.ok else "does not conform"
    if report.executed == 0:
        verdict = "nothing was executed, which is a failure"
    elif report.ok and report.counts["unsupported"]:
        verdict = "conforms in what it supports"
    return f"{report.adapter} {verdict}: {counts} (suite {report.suite})"


def make_json(report: Report) -> str:
    """Return the report as JSON; between equal runs only the seconds differ."""
    content = {
        "format": "fcpts-conform/1",
        "suite": report.suite,
        "adapter": report.adapter,
        "precision": report.precision,
        "ok": report.ok,
        "counts": report.counts,
        "results": [_result_entry(report, result) for result in report.results],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def make_badge(report: Report) -> str:
    """Return the counts as JSON for a badge (shields.io, endpoint format)."""
    counts = report.counts
    wrong = counts["fail"] + counts["error"]
    message = f"{counts['pass']} pass" + (f", {wrong} fail" if wrong else "")
    if counts["unsupported"] + counts["skip"]:
        message += f" of {len(report.results)}"
    content = {
        "schemaVersion": 1,
        "label": f"fcpts conformance, suite {report.suite}",
        "message": message,
        "color": "brightgreen" if report.ok else "red",
        "isError": not report.ok,
    }
    return json.dumps(content, indent=1) + "\n"


def _result_entry(report: Report, result: Result) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": result.case.id,
        "operation": result.case.operation,
        "status": result.status,
        "seconds": round(result.seconds, 6),
    }
    if result.status != "pass":
        entry |= {"message": result.message, "repeat": report.reproduce(result)}
    if result.cause:
        entry["likely"] = result.cause
    if result.difference is not None:
        entry["difference"] = _difference_entry(result.difference)
    return entry


def _difference_entry(difference: Difference) -> dict[str, Any]:
    share = difference.share
    return {
        "output": difference.output,
        "problem": difference.problem,
        "index": list(difference.index),
        "share_of_tolerance": share if share != float("inf") else "inf",
        "wrong": difference.wrong,
        "size": difference.size,
    }


def make_junit(report: Report) -> str:
    """Return the report as JUnit XML, one test case per vector, one class per operation."""
    counts = report.counts
    suite = ElementTree.Element(
        "testsuite",
        name=f"fcpts conformance of {_clean(report.adapter)}",
        tests=str(len(report.results)),
        failures=str(counts["fail"]),
        errors=str(counts["error"] + (report.executed == 0)),
        skipped=str(counts["unsupported"] + counts["skip"]),
        time=f"{sum(result.seconds for result in report.results):.3f}",
    )
    for result in report.results:
        _add_test_case(suite, report, result)
    if report.executed == 0:
        test = ElementTree.SubElement(
            suite, "testcase", classname="fcpts", name="anything executed"
        )
        ElementTree.SubElement(test, "error", message="no case was executed")
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _add_test_case(suite: ElementTree.Element, report: Report, result: Result) -> None:
    test = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"fcpts.{result.case.operation}",
        name=result.case.id,
        time=f"{result.seconds:.6f}",
    )
    element = {"fail": "failure", "error": "error", "unsupported": "skipped", "skip": "skipped"}
    if result.status in element:
        child = ElementTree.SubElement(test, element[result.status], message=_clean(result.message))
        if result.status in ("fail", "error"):
            child.text = _clean("\n".join(format_failure(report, result)))


def _clean(text: str) -> str:
    return text.translate(XML_FORBIDDEN)


def format_case(case: Case) -> str:
    """Format one case: its purpose, its inputs, and how each output is compared."""
    lines = [f"{case.id}  {case.operation}  ({case.source})", f"  {case.comment}"]
    if case.conventions:
        lines.append(f"  open points: {', '.join(map(str, case.conventions))}")
    for flag, note in case.notes.items():
        lines += [f"  {flag}: {note['why']}", f"    failing it: {note['effect']}"]
    lines.append("  inputs")
    lines += [f"    {name} = {_format_value(value)}" for name, value in case.inputs.items()]
    if case.reject is not None:
        return "\n".join([*lines, f"  must be refused: {case.reject}"])
    lines.append("  outputs")
    for name, expected in case.outputs.items():
        rule = expected.rule
        how = {
            "exact": "exact",
            "ulp": f"within {counted(rule.ulp, 'unit')} in the last place",
            "close": f"within {rule.atol:g} + {rule.rtol:g} * |expected|",
        }[rule.compare]
        lines += [f"    {name} = {_format_value(expected.value)}", f"      {how}: {rule.reason}"]
    return "\n".join(lines)


def _format_value(value: Any) -> str:
    import numpy as np

    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return "[" + ", ".join(_format_value(item) for item in value) + "]"
    if isinstance(value, list) and len(value) > MOST_ITEMS:
        return f"{value[:MOST_ITEMS]} and {len(value) - MOST_ITEMS} more"
    if isinstance(value, str):
        return shown(value)
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.ndim == 0:
        return f"{value.dtype} {value.item()!r}"
    body = np.array2string(value, precision=17, threshold=40, edgeitems=3).replace("\n", "\n      ")
    return f"{value.dtype}{list(value.shape)} {body}"


def make_list_json(cases: list[Case]) -> str:
    """Return every case as JSON: id, operation, source, flags and comment."""
    entries = [
        {
            "id": case.id,
            "operation": case.operation,
            "source": case.source,
            "flags": list(case.flags),
            "comment": case.comment,
        }
        for case in cases
    ]
    return json.dumps(entries, indent=1)


def format_list(cases: list[Case]) -> str:
    """Format every case in 80 columns: id, operation, flags, and after a colon its comment."""
    lines = [
        textwrap.fill(
            f"{case.id:<18} {' '.join([case.operation, *case.flags])}: {case.comment}",
            width=80,
            subsequent_indent=" " * 21,
            break_on_hyphens=False,
        )
        for case in cases
    ]
    operations = len({case.operation for case in cases})
    return "\n".join(
        [*lines, f"{counted(len(cases), 'case')} of {counted(operations, 'operation')}"]
    )
