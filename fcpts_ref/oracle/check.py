"""Run the vectors against an implementation and record the outcome of every case."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fcpts_ref.errors import printable
from fcpts_ref.oracle.adapters import Adapter, AdapterError, Rejected, Unsupported
from fcpts_ref.oracle.compare import Difference, compare_output
from fcpts_ref.oracle.likely import likely_cause
from fcpts_ref.oracle.misnamed import misnamed
from fcpts_ref.oracle.vectors import Case, select_cases, suite_version

LONGEST_MESSAGE = 1000  # characters
STATUSES = ("pass", "fail", "unsupported", "error", "skip")


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome of one case."""

    case: Case
    status: str  # one of STATUSES
    message: str = ""
    difference: Difference | None = None
    seconds: float = 0.0
    cause: str = ""  # what the outputs of a failed case look like


@dataclass(frozen=True, eq=False)
class Report:
    """The outcomes of a run over many cases."""

    adapter: str
    argument: str  # command-line option that selects the adapter
    precision: str
    results: tuple[Result, ...]
    suite: str = ""  # version of the vectors

    @property
    def counts(self) -> dict[str, int]:
        """The number of cases in each status."""
        statuses = [result.status for result in self.results]
        return {status: statuses.count(status) for status in STATUSES}

    @property
    def executed(self) -> int:
        """The number of cases that the implementation answered, right or wrong."""
        return self.counts["pass"] + self.counts["fail"]

    @property
    def ok(self) -> bool:
        """Whether at least one case was executed, and none failed."""
        return self.executed > 0 and self.counts["fail"] == 0 and self.counts["error"] == 0

    def reproduce(self, result: Result) -> str:
        """Return the command that repeats one case."""
        precision = "" if self.precision == "float64" else f" --precision {self.precision}"
        return f"fcpts-ref conform check {self.argument} --only {result.case.id}{precision}"


def check(
    adapter: Adapter,
    cases: Iterable[Case],
    *,
    only: Iterable[str] = (),
    skip: Iterable[str] = (),
    precision: str = "float64",
    complete: bool = False,
    watch: Callable[[list[Case]], Iterable[Case]] = iter,
    suite: str | None = None,
) -> Report:
    """Run the chosen cases.  Patterns that match no case raise ``InputError``.

    complete: unsupported operations fail, so that a test suite cannot lose one unnoticed.
    watch: wraps the list of cases, for instance in a progress bar.  suite: the version of the
    vectors; by default that of the embedded ones.
    """
    cases = list(cases)
    chosen, skipped = select_cases(cases, list(only), list(skip))
    skipped_ids = {case.id for case in skipped}
    chosen_ids = {case.id for case in chosen}
    wanted = [case for case in cases if case.id in chosen_ids or case.id in skipped_ids]
    results = [
        Result(case, "skip", "skipped on request")
        if case.id in skipped_ids
        else check_case(adapter, case, precision=precision, complete=complete)
        for case in watch(wanted)
    ]
    own = set(getattr(adapter, "functions", ())) - {case.operation for case in cases}
    results = _without_misnamed(results, own)
    version = suite_version() if suite is None else suite
    return Report(adapter.name, adapter.argument, precision, tuple(results), version)


def _without_misnamed(results: list[Result], functions: Collection[str]) -> list[Result]:
    """Let an operation fail that is unsupported only because its function is misspelt.

    functions: of the adapter, without those that are operations.
    """
    missing = {r.case.operation for r in results if r.status == "unsupported"}
    near = {operation: name for name, operation in misnamed(functions, missing).items()}
    return [
        replace(
            r,
            status="error",
            message=f"{near[r.case.operation]} is no operation; "
            f"perhaps {r.case.operation} is meant",
        )
        if r.status == "unsupported" and r.case.operation in near
        else r
        for r in results
    ]


def check_case(
    adapter: Adapter, case: Case, *, precision: str = "float64", complete: bool = False
) -> Result:
    """Run one case.  With ``complete`` an unsupported operation fails."""
    start = time.perf_counter()
    status, message, difference, cause = _judge(adapter, case, precision)
    if complete and status == "unsupported":
        status, message = "fail", f"unsupported, and every operation was asked for: {message}"
    text = printable(message[:LONGEST_MESSAGE])  # partly in the words of the implementation
    return Result(case, status, text, difference, time.perf_counter() - start, cause)


def _judge(adapter: Adapter, case: Case, precision: str) -> tuple[str, str, Difference | None, str]:
    try:
        outputs = adapter.run(case)
    except Unsupported as error:
        return "unsupported", str(error), None, ""
    except AdapterError as error:
        return "error", str(error), None, ""
    except Rejected as error:
        if case.reject is not None:
            return "pass", "", None, ""
        return "fail", f"refused valid input: {error}", None, ""
    if case.reject is not None:
        return "fail", f"accepted input that must be refused: {case.reject}", None, ""
    status, message, difference = _judge_outputs(outputs, case, precision)
    cause = likely_cause(case, outputs, precision) if difference is not None else ""
    return status, message, difference, cause


def _judge_outputs(
    outputs: Mapping[str, Any], case: Case, precision: str
) -> tuple[str, str, Difference | None]:
    required = [name for name, expected in case.outputs.items() if not expected.optional]
    missing = [name for name in required if name not in outputs]
    if missing:
        return "fail", f"output {missing[0]!r} is missing; expected {', '.join(required)}", None
    check_dtype = "DTYPE" in case.flags
    differences = [
        difference
        for name, expected in case.outputs.items()
        if name in outputs
        and (
            difference := compare_output(
                name, expected, outputs[name], precision=precision, check_dtype=check_dtype
            )
        )
    ]
    if not differences:
        return "pass", "", None
    worst = max(differences, key=lambda difference: difference.share)
    message = f"{worst.output}{worst.message}"
    if len(differences) > 1:
        wrong = ", ".join(difference.output for difference in differences)
        message += f"; wrong outputs in the order of computation: {wrong}"
    return "fail", message, worst
