"""Adapters in other languages: the protocol, its violations, and the JavaScript example."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fcpts_ref.cli import main
from fcpts_ref.errors import InputError
from fcpts_ref.oracle.adapters import CommandAdapter, load_python_adapter
from fcpts_ref.oracle.check import check
from fcpts_ref.oracle.diverge import diverge
from fcpts_ref.oracle.report import format_report
from fcpts_ref.oracle.trace_file import read_trace
from fcpts_ref.oracle.vectors import load_cases

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CASES = load_cases()


def run(tmp_path, program, *, timeout=20.0, only=("eq01.0009",)):
    path = tmp_path / "program.py"
    path.write_text(program)
    adapter = CommandAdapter(f"'{sys.executable}' -I '{path}'", timeout=timeout)
    return check(adapter, CASES, only=only)


RIGHT = """
import json, sys
case = json.load(sys.stdin)
assert case["operation"] == "mask" and case["format"] == "fcpts-vectors/1"
w, t = case["inputs"]["weight"], case["inputs"]["threshold"]
at = 0.5 if case["inputs"]["tie"] == "half" else 0
data = [1 if abs(x) > t else at if abs(x) == t else 0 for x in w["data"]]
print(json.dumps({"status": "ok", "outputs": {"mask": {"shape": w["shape"], "data": data}}}))
"""


def test_a_right_program_passes(tmp_path):
    report = run(tmp_path, RIGHT, only=("eq01.0009", "eq01.0010", "eq01.0012", "eq01.0015"))
    assert report.counts["pass"] == 4, format_report(report)


def test_nested_lists_are_taken_for_arrays(tmp_path):
    program = 'print(\'{"outputs": {"mask": [1, 0, 0, 0, 0, 0, 1]}}\')'
    assert run(tmp_path, program).ok


def test_rejection_and_lack_of_support(tmp_path):
    rejected = 'print(\'{"status": "rejected", "message": "no"}\')'
    assert run(tmp_path, rejected, only=("eq01.0090",)).ok
    assert run(tmp_path, rejected).counts["fail"] == 1
    assert run(tmp_path, 'print(\'{"status": "unsupported"}\')').counts["unsupported"] == 1


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.exit('out of order')", "out of order"),
        ("print('hello')", "no JSON"),
        ("print('[1]')", "JSON list"),
        ('print(\'{"status": "great"}\')', "great"),
        ('print(\'{"status": "ok"}\')', "outputs"),
        ('print(\'{"outputs": {"mask": {"shape": [2], "data": [1]}}}\')', "mask"),
        ('print(\'{"outputs": {"mask": "abc"}}\')', "mask"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "UTF-8"),
        ("", "no JSON"),
    ],
)
def test_broken_programs_are_errors(tmp_path, program, message):
    report = run(tmp_path, program)
    assert report.counts["error"] == 1
    assert message in report.results[0].message
    assert not report.ok


def test_a_program_that_hangs_is_stopped(tmp_path):
    report = run(tmp_path, "import time; time.sleep(60)", timeout=0.3)
    assert "no answer within 0.3 s" in report.results[0].message


@pytest.mark.parametrize("command", ["", "/no/such/program"])
def test_missing_programs_are_bad_input(command):
    with pytest.raises(InputError):
        check(CommandAdapter(command), CASES, only=["eq01.0001"])


def test_the_javascript_example_conforms():
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    adapter = CommandAdapter(f"'{node}' '{EXAMPLES / 'adapter_js' / 'adapter.js'}'")
    report = check(adapter, CASES, only=["eq08", "histogram_density", "eq01", "add_forward"])
    assert report.ok, format_report(report)
    assert report.executed > 40
    assert report.counts["unsupported"] == 2


def test_the_torch_example_conforms():
    pytest.importorskip("torch")
    report = check(load_python_adapter(str(EXAMPLES / "adapter_torch.py")), CASES)
    assert report.ok, format_report(report)
    assert report.executed > 130


@pytest.mark.parametrize("profile", ["paper", pytest.param("released", marks=pytest.mark.slow)])
def test_a_whole_step_in_torch_agrees_and_its_mistake_is_found(tmp_path, profile):
    pytest.importorskip("torch")
    paths = [str(tmp_path / f"{name}.h5") for name in ("reference", "mine", "wrong")]
    traced = ("trace", "--out", paths[0], "--profile", profile, "--batch-size", "8")
    assert main([*traced, "--steps", "0-1"]) == 0
    program = [sys.executable, str(EXAMPLES / "trace_torch.py")]
    subprocess.run([*program, *paths[:2]], check=True)
    result = diverge(read_trace(paths[1]), read_trace(paths[0]))
    assert result.ok, result.finding
    assert result.count > 200
    if profile == "paper":  # the only one in which dL/dM is used
        subprocess.run([*program, paths[0], paths[2], "--mistake"], check=True)
        found = diverge(read_trace(paths[2]), read_trace(paths[0])).finding
        assert found.name.startswith("dmask/")
        assert found.explanations[0].point == 3
