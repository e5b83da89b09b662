"""The oracle's commands: output and exit codes."""

import json
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from fcpts_ref.cli import main
from fcpts_ref.gradcheck.pair import make_fault


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_list(capsys):
    code, out, _ = run(capsys, "conform", "list", "--only", "eq08")
    assert code == 0
    assert "eq08.0010" in out
    assert "eq01" not in out
    assert out.splitlines()[-1].endswith("cases of 1 operation")


def test_explain(capsys):
    code, out, _ = run(capsys, "conform", "explain", "eq08.0010")
    assert code == 0
    assert "BOUNDARY" in out
    assert "open points: 12" in out


def test_explain_as_json(capsys):
    code, out, _ = run(capsys, "conform", "explain", "eq08.0010", "--json")
    assert code == 0
    assert json.loads(out)["operation"] == "control_loss_gradient"


def test_check_and_its_reports(capsys, tmp_path):
    junit, report = tmp_path / "junit.xml", tmp_path / "report.json"
    code, out, _ = run(
        capsys, "conform", "check", "--adapter", "reference", "--only", "eq08",
        "--junit", str(junit), "--json", str(report),
    )  # fmt: skip
    assert code == 0, out
    assert "conforms" in out
    assert json.loads(report.read_text())["ok"] is True
    assert ElementTree.parse(junit).getroot().get("failures") == "0"


def test_a_failure_exits_with_1(capsys, tmp_path):
    wrong = tmp_path / "wrong_loss.py"
    wrong.write_text("def control_loss(rates, sizes, target):\n    return 7.0\n")
    code, out, _ = run(capsys, "conform", "check", "--adapter", str(wrong))
    assert code == 1
    assert "does not conform" in out


def test_a_missing_operation_exits_with_1_if_all_are_required(capsys, tmp_path):
    partial = tmp_path / "partial.py"
    partial.write_text(
        "from fcpts_ref.oracle.reference import control_loss\n"
        "def total_loss(**inputs):\n    raise NotImplementedError\n"
    )
    words = ("conform", "check", "--adapter", str(partial), "--only", "control_loss")
    assert run(capsys, *words, "--complete")[0] == 0
    words = (*words, "--only", "total_loss", "--only", "mask")  # one refuses, one is not there
    code, out, _ = run(capsys, *words)
    assert (code, "conforms in what it supports" in out) == (0, True)
    code, out, _ = run(capsys, *words, "--complete")
    assert code == 1
    assert "every operation was asked for" in out


def test_executing_nothing_exits_with_1(capsys, tmp_path):
    empty = tmp_path / "empty_adapter.py"
    empty.write_text("")
    code, out, _ = run(capsys, "conform", "check", "--adapter", str(empty))
    assert code == 1
    assert "nothing was executed" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "--adapter", "no_such_module"],
        ["check", "--command", "/no/such/program"],
        ["check", "--adapter", "reference", "--skip", "eq99.0001"],
        ["check", "--adapter", "reference", "--vectors", "/no/such/folder"],
        ["list", "--only", "nonsense"],
        ["explain", "eq99.0001"],
    ],
)
def test_bad_input_exits_with_2_and_one_line(capsys, arguments):
    code, _, err = run(capsys, "conform", *arguments)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert err.startswith("fcpts-ref conform: ")


def test_a_report_that_cannot_be_written_is_bad_input(capsys, tmp_path):
    code, _, err = run(
        capsys, "conform", "check", "--adapter", "reference", "--only", "eq05",
        "--json", str(tmp_path / "missing" / "report.json"),
    )  # fmt: skip
    assert code == 2
    assert "report.json" in err


def test_check_a_program(capsys, tmp_path):
    program = tmp_path / "program.py"
    program.write_text('print(\'{"outputs": {"loss": 1.5}}\')')
    command = f"'{sys.executable}' -I '{program}'"
    code, out, _ = run(capsys, "conform", "check", "--command", command, "--only", "eq05.0001")
    assert code == 0, out


def test_gradcheck(capsys):
    code, out, _ = run(capsys, "gradcheck", "--directions", "1")
    assert code == 0
    assert "convolution" in out
    assert out.splitlines()[-1].endswith("0 failed")


def test_gradcheck_as_json(capsys, monkeypatch):
    code, out, _ = run(capsys, "gradcheck", "--directions", "1", "--json")
    content = json.loads(out)
    assert (code, content["ok"]) == (0, True)
    assert {"relu", "convolution"} <= {entry["pair"] for entry in content["comparisons"]}
    wrong = make_fault("relu", "x", "it is wrong")
    monkeypatch.setattr("fcpts_ref.gradcheck.check_all_layers", lambda **_: [wrong])
    code, out, _ = run(capsys, "gradcheck", "--json")
    (entry,) = json.loads(out)["comparisons"]
    assert (code, entry["ok"], entry["error"], entry["got"]) == (1, False, "inf", "nan")


@pytest.mark.parametrize("name", ["contrl_loss", "controlLoss", "control_losses"])
def test_a_function_with_almost_the_name_of_an_operation_is_an_error(capsys, tmp_path, name):
    (tmp_path / "mine.py").write_text(
        "from fcpts_ref.oracle.reference import total_loss\n"
        f"def {name}(): pass\ndef helper(): pass\ndef mask_total(): pass\n"
    )
    adapter = f"--adapter={tmp_path / 'mine.py'}"
    code, out, _ = run(capsys, "conform", "check", adapter, "--only=eq03.0001", "--only=eq05")
    assert code == 1
    assert f"{name} is no operation; perhaps control_loss is meant" in out
    assert ", 1 error" in out


def test_an_operation_with_a_longer_sibling_is_not_misspelt(capsys, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from fcpts_ref.oracle.reference import reconstruction_loss, relu_forward\n"
    )
    code, out, _ = run(capsys, "conform", "check", f"--adapter={tmp_path / 'mine.py'}")
    assert "is no operation" not in out
    assert ", 0 error" in out
    assert code == 0, out
