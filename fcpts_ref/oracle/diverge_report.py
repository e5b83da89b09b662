"""The result of ``diverge`` as text for people and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fcpts_ref.oracle.diverge import Divergence, Finding
from fcpts_ref.oracle.explain import Explanation
from fcpts_ref.oracle.mistakes.constant import base_of

SHOWN = 4  # names in a list


def format_divergence(result: Divergence, mine: str, against: str) -> str:
    """Return the whole report as text."""
    if result.finding is None and result.count == 0:
        lines = [f"{mine}: nothing to compare with {against}, which is a failure"]
    elif result.finding is None:
        lines = [
            f"{mine} agrees with {against}: {_many(result.count)} of step "
            f"{', '.join(map(str, result.steps))}"
        ]
    else:
        lines = _format_finding(result, result.finding, mine, against)
    lines += _format_passed_over(result, mine, against)
    return "\n".join(lines)


def _format_finding(result: Divergence, finding: Finding, mine: str, against: str) -> list[str]:
    difference, row = finding.difference, finding.quantity
    lines = [
        f"{mine} leaves {against} in step {finding.step}, at {finding.name}",
        "",
        f"  {row.source}: {row.formula}",
        f"  {finding.name}{difference.message}",
    ]
    if difference.size > 1:
        lines.append(f"  {difference.wrong} of {difference.size} elements are wrong")
    lines += ["", *_format_before(result)]
    lines.append(
        f"  later in this step, from the values found: {finding.later_equal} agree, "
        f"{finding.later_different} differ"
    )
    if finding.also:
        lines.append(f"    ({_some(finding.also)})")
    if not finding.used:
        lines.append("  the step goes on with the right value: this one is recorded, and not used")
    lines += ["", *_format_explanations(finding)]
    return lines


def _format_before(result: Divergence) -> list[str]:
    if not result.count:
        return ["  nothing was compared before it"]
    kinds = ", ".join(f"{name} {n}" if n > 1 else name for name, n in result.compared.items())
    return [
        f"  equal up to there: {_many(result.count)}, last {result.last_equal}",
        f"    ({kinds})",
    ]


def _format_explanations(finding: Finding) -> list[str]:
    if not finding.explanations:
        lines = ["  no known mistake and no other choice of an open point gives these values"]
        if finding.pattern:
            lines.append(f"  pattern: {finding.pattern}")
        if finding.unsought:
            lines.append(
                "  not sought: mistakes in single layers, for so many images of this size;"
            )
            lines.append("  record activations, or a step of fewer images")
        return lines
    lines = []
    for i, one in enumerate(finding.explanations):
        lines.append(f"  {'likely:' if i == 0 else 'or:    '} {one.text}")
        lines += [f"          {line}" for line in _details(one)]
    return lines


def _details(one: Explanation) -> list[str]:
    lines = []
    if one.name != one.text:
        lines.append(f"explain it: fcpts-ref explain {base_of(one.name)}")
    if one.point is not None:
        lines.append(f"open point {one.point}: {one.question}")
    if one.only:
        lines.append(f"only in {_some(one.only)}")
    if one.with_others:
        lines.append(f"and besides: {', '.join(one.with_others)}")
    if one.apart:
        lines.append(one.apart)
    return lines


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _format_passed_over(result: Divergence, mine: str, against: str) -> list[str]:
    lines = []
    for names, text in (
        (result.decided, "close decisions, taken as found"),
        (result.unknown, f"unknown names in {mine}, not compared"),
        (result.only_mine, f"only in {mine}"),
        (result.only_reference, f"only in {against}"),
    ):
        if names:
            unit = "elements" if names is result.decided else "arrays"
            lines.append(f"{text}: {_some(list(names))} ({names.total()} {unit})")
    return ["", *lines] if lines else []


def make_json(result: Divergence, mine: str, against: str) -> str:
    """Return the report as JSON."""
    content = {
        "format": "fcpts-diverge/2",
        "mine": mine,
        "reference": against,
        "ok": result.ok,
        "steps": list(result.steps),
        "equal": result.count,
        "equal_by_quantity": dict(result.compared),
        "last_equal": result.last_equal,
        "first_difference": None if result.finding is None else _finding_entry(result.finding),
        "decided_as_found": _entry(result.decided),
        "only_mine": _entry(result.only_mine),
        "only_reference": _entry(result.only_reference),
        "unknown": _entry(result.unknown),
    }
    return json.dumps(content, indent=1, allow_nan=False)


def _finding_entry(finding: Finding) -> dict[str, Any]:
    difference, share = finding.difference, finding.difference.share
    return {
        "step": finding.step,
        "name": finding.name,
        "source": finding.quantity.source,
        "formula": finding.quantity.formula,
        "problem": difference.problem,
        "message": difference.message.strip(),
        "index": list(difference.index),
        "share_of_tolerance": share if math.isfinite(share) else "inf",
        "wrong": difference.wrong,
        "size": difference.size,
        "later_equal": finding.later_equal,
        "later_different": finding.later_different,
        "used": finding.used,
        "also_different": list(finding.also),
        "pattern": finding.pattern,
        "unsought": finding.unsought,
        "explanations": [
            {
                "name": one.name,
                "point": one.point,
                "text": one.text,
                "only": list(one.only),
                "with": list(one.with_others),
                "apart": one.apart,
            }
            for one in finding.explanations
        ],
    }


def _entry(names: Counter[str]) -> dict[str, int]:
    return dict(names)


def _many(count: int) -> str:
    return f"{count} quantit{'y' if count == 1 else 'ies'}"
