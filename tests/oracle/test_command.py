"""Adapters in other languages: the protocol, its violations, and the JavaScript example."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fcpts_ref.cli import main
from fcpts_ref.errors import InputError
from fcpts_ref.oracle import program as program_module
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


def test_a_correct_program_passes(tmp_path):
    report = run(tmp_path, RIGHT, only=("eq01.0009", "eq01.0010", "eq01.0012", "eq01.0015"))
    assert report.counts["pass"] == 4, format_report(report)


def test_nested_lists_are_read_as_arrays(tmp_path):
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
        ("print('hello')", "did not answer with JSON"),
        ("print('[1]')", "JSON list"),
        ('print(\'{"status": "great"}\')', "great"),
        ('print(\'{"status": "ok"}\')', "outputs"),
        ('print(\'{"outputs": {"mask": {"shape": [2], "data": [1]}}}\')', "mask"),
        ('print(\'{"outputs": {"mask": "abc"}}\')', "mask"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "UTF-8"),
        ("", "did not answer with JSON"),
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


CHILD = f"""
import subprocess, sys, time
child = subprocess.Popen([{sys.executable!r}, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(str(child.pid))
if len(sys.argv) > 2:
    time.sleep(60)
print('{{"status": "unsupported"}}')
"""


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("hangs", [False, True])
def test_children_of_a_program_end_with_it(tmp_path, hangs):
    """They hold its output open and would outlive it; an answer given before counts."""
    path, note = tmp_path / "program.py", tmp_path / "pid"
    path.write_text(CHILD)
    more = " hang" if hangs else ""
    adapter = CommandAdapter(f"'{sys.executable}' -I '{path}' '{note}'{more}", timeout=3)
    (result,) = check(adapter, CASES, only=["eq01.0009"]).results
    assert result.status == ("error" if hangs else "unsupported")
    deadline = time.monotonic() + 20
    while is_running(int(note.read_text())) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(int(note.read_text()))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output_is_stopped(tmp_path, monkeypatch, stream):
    monkeypatch.setattr(program_module, "MAXIMUM_OUTPUT", 1 << 20)
    program = f"import sys\nwhile True: sys.{stream}.write('x' * 65536)"
    report = run(tmp_path, program)
    assert "wrote more than" in report.results[0].message


def test_a_program_that_does_not_read_its_input(tmp_path):
    program = 'import sys; sys.stdin.close(); print(\'{"status": "unsupported"}\')'
    only = max(CASES, key=lambda case: len(str(case.raw))).id
    assert run(tmp_path, program, only=[only]).counts["unsupported"] == 1


HUGE = '{"outputs": {"mask": {"dtype": "S1000000000", "shape": [1], "data": [1]}}}'


@pytest.mark.parametrize("answer", ["'[' * 100_000", repr(HUGE)])
def test_hostile_answers_are_errors(tmp_path, answer):
    assert run(tmp_path, f"print({answer})").counts["error"] == 1


@pytest.mark.parametrize("command", ["", "/no/such/program", "./a 'b", "a\0b", "/"])
def test_missing_programs_are_bad_input(command):
    with pytest.raises(InputError) as caught:
        check(CommandAdapter(command), CASES, only=["eq01.0001"])
    assert "\n" not in str(caught.value)


def test_a_script_without_its_first_line_is_bad_input(tmp_path):
    path = tmp_path / "script"
    path.write_text("echo '{}'\n")
    path.chmod(0o755)
    with pytest.raises(InputError, match=r"a script starts with a line such as #!/bin/sh"):
        check(CommandAdapter(str(path)), CASES, only=["eq01.0001"])


@pytest.mark.parametrize("timeout", [float("nan"), float("inf"), 0.0, -1.0, 1e9])
def test_time_limits_are_finite(timeout):
    with pytest.raises(InputError, match="expected seconds above 0"):
        CommandAdapter("true", timeout=timeout)


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
    summary = format_report(report).splitlines()[-1]
    assert summary in (EXAMPLES.parent / "docs" / "oracle.md").read_text(encoding="utf-8")


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
