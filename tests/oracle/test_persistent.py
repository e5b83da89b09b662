"""A program that stays; time limits; likely causes; the badge; refusals summed up."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pytest
from adapters_under_test import careless_mask, make_module

from fcpts_ref.cli import main
from fcpts_ref.errors import InputError
from fcpts_ref.oracle.adapters import PersistentAdapter, PythonAdapter
from fcpts_ref.oracle.check import check
from fcpts_ref.oracle.program import Conversation, UnaskedError
from fcpts_ref.oracle.report import format_report, make_badge, make_json
from fcpts_ref.oracle.vectors import load_cases
from fcpts_ref.spec import equations

CASES = load_cases()
PROGRAM = """
import json, os, sys, time
for line in sys.stdin:
    case = json.loads(line)
    i = case["inputs"]
    {special}
    if case["operation"] != "total_loss":
        answer = {{"status": "unsupported"}}
    elif i["control_weight"] < 0:
        answer = {{"status": "rejected"}}
    else:
        loss = i["reconstruction"] + i["control_weight"] * i["control"]
        answer = {{"status": "ok", "outputs": {{"loss": loss}}, "pid": os.getpid()}}
    print(json.dumps(answer), flush=True)
"""


def program(tmp_path, special="pass"):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(special=special))
    return f"{sys.executable} {path}"


def run(tmp_path, special="pass", timeout=10.0, only=("eq05*",)):
    adapter = PersistentAdapter(program(tmp_path, special), timeout=timeout)
    try:
        return check(adapter, CASES, only=only)
    finally:
        adapter.close()


def test_one_process_answers_all_cases(tmp_path):
    counter = tmp_path / "starts"
    special = f"open({str(counter)!r}, 'a').write(str(os.getpid()) + chr(10))"
    report = run(tmp_path, special)
    assert report.ok
    assert report.counts["pass"] == 5
    assert len(set(counter.read_text().split())) == 1
    assert "--persistent" in report.reproduce(report.results[0])


@pytest.mark.parametrize(
    ("special", "message"),
    [
        ("time.sleep(60) if case['id'] == 'eq05.0002' else None", "no answer within 1 s"),
        ("sys.exit(3) if case['id'] == 'eq05.0002' else None", "ended with 3"),
        ("sys.exit(0) if case['id'] == 'eq05.0002' else None", "ended with 0"),
        ("print('{', flush=True) if case['id'] == 'eq05.0002' else None", "did not answer with"),
        ("print('{}', flush=True) if case['id'] == 'eq05.0002' else None", "answered with status"),
    ],
)
def test_a_case_that_fails_does_not_harm_the_others(tmp_path, special, message):
    start = time.monotonic()
    report = run(tmp_path, special, timeout=1.0)
    assert not report.ok
    [wrong] = [r for r in report.results if r.case.id == "eq05.0002"]
    assert wrong.status == "error"
    assert message in wrong.message
    assert report.counts["pass"] == 4
    assert time.monotonic() - start < 30


def test_a_program_that_writes_without_end_is_cut_off():
    """What it writes is not stored, and none of it is taken for an answer."""
    conversation = Conversation([sys.executable, "-c", "while True: print('{}')"])
    try:
        deadline = time.monotonic() + 30
        while conversation._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert conversation._process.poll() is not None  # it could not write on
        assert conversation._answers.qsize() < 100_000
        with pytest.raises(UnaskedError):
            conversation.ask(b"{}", timeout=5.0)
    finally:
        conversation.close()


def test_programs_that_do_not_exist_and_misplaced_options(tmp_path, capsys):
    with pytest.raises(InputError, match="no program"):
        check(PersistentAdapter("./none-such"), CASES, only=["eq05*"])
    assert main(["conform", "check", "--adapter", "reference", "--persistent"]) == 2
    assert "--command" in capsys.readouterr().err
    badge = tmp_path / "badge.json"
    words = ["--command", program(tmp_path), "--persistent", "--only", "eq05*"]
    assert main(["conform", "check", *words, "--badge", str(badge)]) == 0
    content = json.loads(badge.read_text())
    assert content["schemaVersion"] == 1
    assert content["message"] == "5 pass"


def test_a_python_function_has_a_time_limit():
    def total_loss(**inputs):
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                continue

    report = check(
        PythonAdapter(make_module(total_loss=total_loss), "", timeout=0.2),
        CASES,
        only=["eq05.0001"],
    )
    assert "no answer within 0.2 s" in report.results[0].message


def of(only, **functions):
    return check(PythonAdapter(make_module(**functions), "--adapter x"), CASES, only=[only])


def test_likely_causes_are_named():
    def deaf(weight, threshold, tie):
        return equations.mask(weight, threshold, tie="pruned")

    causes = {r.cause for r in of("eq01*", mask=deaf).results if r.status == "fail"}
    assert "computed with tie='pruned'" in causes

    def doubled(dense_logits, sparse_logits, temperature):
        right = equations.reconstruction_loss_gradient
        return 2 * right(dense_logits, sparse_logits, temperature=temperature)

    report = of("eq04*", reconstruction_loss_gradient=doubled)
    assert any("2 times what is expected" in r.cause for r in report.results)
    assert "likely: gradient: 2 times" in format_report(report)
    assert any("likely" in one for one in json.loads(make_json(report))["results"])


def test_refusals_are_summed_up_after_wrong_values():
    def mask(weight, threshold, tie):
        return careless_mask(weight, threshold, tie) * np.where(np.size(weight) == 17, 2, 1)

    report = of("eq01*", mask=mask)
    text = format_report(report)
    assert text.index("eq01.0001") < text.index("must be refused")
    assert text.count("accepted input") == 0
    assert "mask: eq01.0090, eq01.0091" in text
    assert json.loads(make_badge(report))["color"] == "red"
