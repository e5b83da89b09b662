"""The checker: every status, the text of a failure, and the reference's conformance."""

import json
import os
import sys
import xml.etree.ElementTree as ElementTree

import adapters_under_test as under_test
import numpy as np
import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.adapters import PythonAdapter, load_python_adapter
from fcpts_ref.oracle.check import check
from fcpts_ref.oracle.report import format_case, format_report, make_json, make_junit
from fcpts_ref.oracle.vectors import load_cases

CASES = load_cases()
MASKS = [case for case in CASES if case.operation == "mask"]


def run(mask, **options):
    adapter = PythonAdapter(under_test.make_module(mask=mask), "--adapter mine")
    return check(adapter, CASES, **({"only": ["eq01"]} | options))


def test_the_reference_conforms():
    report = check(load_python_adapter("reference"), CASES)
    assert report.ok, format_report(report)
    assert report.counts["pass"] == len(CASES)


def test_a_float32_implementation_conforms_at_its_precision():
    reference = load_python_adapter("reference")

    class Single:
        name, argument = "single", "--adapter single"

        def run(self, case):
            def cast(value):
                if isinstance(value, list):
                    return [cast(item) for item in value]
                is_double = isinstance(value, np.ndarray) and value.dtype == np.float64
                return value.astype(np.float32) if is_double else value

            inputs = {name: cast(value) for name, value in case.inputs.items()}
            return reference.run(type(case)(**(case.__dict__ | {"inputs": inputs})))

    # One unit in the last place of float64 is nothing in float32.
    report = check(Single(), CASES, skip=["eq01.0014"], precision="float32")
    assert report.ok, format_report(report)


def test_a_wrong_tie_is_caught_by_its_boundary_cases_alone():
    report = run(under_test.wrong_tie)
    failed = [result.case for result in report.results if result.status == "fail"]
    assert failed
    assert all("BOUNDARY" in case.flags for case in failed)
    assert not report.ok


def test_a_failure_names_the_element_and_the_command_that_repeats_it():
    text = format_report(run(under_test.wrong_tie))
    assert "FAIL eq01.0009" in text
    assert "mask[1] is 1.0; expected 0.0 exactly" in text
    assert "repeat: fcpts-ref conform check --adapter mine --only eq01.0009" in text


def test_crashes_are_errors_not_failures():
    report = run(under_test.crashing_mask)
    assert report.counts["error"] == len(MASKS)
    assert report.executed == 0
    assert not report.ok
    assert "ZeroDivisionError" in format_report(report)


def test_accepting_bad_input_fails():
    report = run(under_test.careless_mask)
    assert {r.case.reject is not None for r in report.results if r.status == "fail"} == {True}
    assert report.counts["fail"] == sum(case.reject is not None for case in MASKS)


def test_an_error_of_many_cases_is_shown_once_after_wrong_values():
    module = under_test.make_module(
        mask=under_test.wrong_tie, control_loss=lambda rates, layer_sizes, goal: 0.0
    )
    report = check(PythonAdapter(module, "--adapter mine"), CASES)
    text = format_report(report)
    errors = [result.case.id for result in report.results if result.status == "error"]
    assert len(errors) > 10
    assert text.count("ERROR ") == text.count("control_loss(...): ") == 1
    assert all(case in text for case in errors)
    assert text.rindex("FAIL eq01.0") < text.index("ERROR eq03.0001")
    assert "more; --json FILE" not in text


def test_lists_of_operations_and_cases_fit_into_80_columns():
    text = format_report(run(under_test.careless_mask, only=["*"]))
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("unsupported operations"))
    assert start + 5 < len(lines)
    assert max(map(len, lines[start:-1])) <= 80
    assert "fcpts_step" in text


def test_refusing_good_input_fails():
    report = run(under_test.greedy_mask)
    assert report.counts["fail"] == sum(case.reject is None for case in MASKS)


def test_a_function_that_lacks_an_argument_is_an_error_even_where_refusal_is_right():
    assert run(under_test.short_mask).counts["error"] == len(MASKS)


@pytest.mark.parametrize("mask", [under_test.unfinished_mask, None])
def test_executing_nothing_is_a_failure(mask):
    report = run(mask)
    assert report.counts["unsupported"] == len(MASKS)
    assert not report.ok
    assert "nothing was executed" in format_report(report)


def test_skips_are_counted_and_must_match():
    report = run(under_test.wrong_tie, skip=["eq01.0009", "REJECT"])
    assert report.counts["skip"] == 1 + sum("REJECT" in case.flags for case in MASKS)
    with pytest.raises(InputError, match=r"eq01\.9999"):
        run(under_test.wrong_tie, skip=["eq01.9999"])


def test_missing_and_surplus_outputs():
    few = run(lambda weight, threshold, tie: {}, only=["eq01.0001"])
    assert "output 'mask' is missing" in few.results[0].message
    many = run(lambda weight, threshold, tie: (weight, weight), only=["eq01.0001"])
    assert many.results[0].status == "error"


def test_inputs_are_passed_as_copies():
    def vandal(weight, threshold, tie):
        result = np.where(np.abs(weight) > threshold, 1.0, 0.0)
        weight[...] = 0
        return result

    assert run(vandal, only=["eq01.0001"]).ok
    assert run(vandal, only=["eq01.0001"]).ok


def test_the_json_report_is_complete():
    content = json.loads(make_json(run(under_test.wrong_tie)))
    assert content["ok"] is False
    assert sum(content["counts"].values()) == len(content["results"]) == len(MASKS)
    failed = next(r for r in content["results"] if r["status"] == "fail")
    assert failed["difference"]["share_of_tolerance"] == "inf"
    assert failed["repeat"].endswith(failed["id"])


def test_the_junit_report_is_complete():
    suite = ElementTree.fromstring(make_junit(run(under_test.wrong_tie)))
    assert int(suite.get("tests")) == len(suite.findall("testcase")) == len(MASKS)
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) > 0
    nothing = ElementTree.fromstring(make_junit(run(None)))
    assert int(nothing.get("errors")) == 1
    assert int(nothing.get("skipped")) == len(MASKS)


def test_control_characters_do_not_break_the_junit_report():
    def shout(weight, threshold, tie):
        raise ZeroDivisionError("\x00\x1b[31m")

    ElementTree.fromstring(make_junit(run(shout)))


@pytest.mark.parametrize("case", CASES[:: len(CASES) // 20], ids=lambda case: case.id)
def test_every_case_can_be_explained(case):
    text = format_case(case)
    assert case.id in text
    assert case.comment in text
    assert ("must be refused" in text) == (case.reject is not None)


class Unreadable:
    """A tensor that requires grad: it does not convert itself to an array."""

    def __init__(self, error):
        self.error = error

    def __array__(self, *arguments, **settings):
        raise self.error


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Foreign(BaseException):
    pass


@pytest.mark.parametrize("error", [RuntimeError("requires grad"), TypeError("no"), Silent()])
def test_outputs_that_do_not_convert_are_errors_and_the_check_goes_on(error):
    report = run(lambda weight, threshold, tie: Unreadable(error), only=["eq01.0001", "eq01.0090"])
    assert [result.status for result in report.results] == ["error", "fail"]
    assert "does not convert to a NumPy array" in report.results[0].message
    format_report(report), make_json(report), make_junit(report)


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(2), Foreign("x"), Silent()])
def test_no_exception_of_an_adapter_ends_the_check(error):
    def mask(weight, threshold, tie):
        raise error

    report = run(mask, only=["eq01.0001"])
    assert report.counts["error"] == 1
    assert not report.ok
    if isinstance(error, SystemExit):
        assert f"called sys.exit({error.code})" in report.results[0].message


class ExitingDict(dict[str, object]):
    """Outputs by name that end the program when they are read."""

    def __contains__(self, name):
        return True

    def __getitem__(self, name):
        raise SystemExit(0)


class ExitingType:
    @property
    def __class__(self):
        raise SystemExit(0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Unreadable(SystemExit(0)),
        lambda: Unreadable(Foreign("x")),
        ExitingDict,
        ExitingType,
        lambda: os._exit(0),
        lambda: np.array([object()]),
        lambda: [Unreadable(SystemExit(0))],
    ],
)
def test_no_output_of_an_adapter_ends_the_check(make):
    report = run(lambda weight, threshold, tie: make(), only=["eq01.0001"])
    assert report.counts["error"] == 1
    assert not report.ok
    format_report(report), make_json(report), make_junit(report)


def test_what_an_adapter_prints_is_not_in_the_report(capfd):
    def mask(weight, threshold, tie):
        print("printed")
        sys.stdout.close()
        return weight

    report = run(mask, only=["eq01.0001", "eq01.0002"])
    print(format_report(report))
    out, err = capfd.readouterr()
    assert report.counts["fail"] == 2
    assert "printed" not in out
    assert err == 2 * "printed\n"


def test_messages_of_an_adapter_are_short_and_do_not_steer_the_terminal():
    def mask(weight, threshold, tie):
        raise RuntimeError("\x1b[2J" + 10_000 * "x" + "\n")

    report = run(mask, only=["eq01.0001"])
    assert report.results[0].message.startswith("RuntimeError: \\x1b[2Jxxx")
    assert len(report.results[0].message) < 1100


def test_ctrl_c_ends_the_check():
    def mask(weight, threshold, tie):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(mask)


def test_an_operation_that_is_not_a_function_is_an_error():
    report = run(5, only=["eq01.0001"])
    assert report.results[0].message == "mask is of type int; expected a function"


@pytest.mark.parametrize("rejections", [ValueError, (3,), "ValueError", [KeyError]])
def test_rejections_are_a_tuple_of_exceptions(rejections):
    module = under_test.make_module(REJECTIONS=rejections)
    with pytest.raises(InputError, match="expected a tuple of exception classes"):
        PythonAdapter(module, "--adapter mine")


PARSING = "import argparse; argparse.ArgumentParser().parse_args(['x'])"


@pytest.mark.parametrize("line", ["sys.exit(0)", "sys.exit(2)", PARSING])
def test_an_adapter_file_that_exits_on_import_is_bad_input(tmp_path, line):
    """A script's usual last line; it must not end the check with exit code 0."""
    path = tmp_path / "exiting_adapter.py"
    path.write_text(f"import sys\ndef mask(weight, threshold, tie):\n    return 0\n{line}\n")
    with pytest.raises(InputError, match=r"called sys\.exit\(.\)\); .*__main__"):
        load_python_adapter(str(path))


@pytest.mark.parametrize("name", ["no_such_module", "no_such_file.py", __file__ + "/x.py"])
def test_missing_adapters_are_bad_input(name):
    with pytest.raises(InputError):
        load_python_adapter(name)


def test_an_adapter_file_that_breaks_on_import_is_bad_input(tmp_path):
    path = tmp_path / "broken_adapter.py"
    path.write_text("1 / 0")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        load_python_adapter(str(path))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "output",
    [np.broadcast_to(np.float64(1), (10**6, 10**6)), np.ones(3) * 1j, np.array(["a"])],
    ids=["terabytes", "complex", "text"],
)
def test_outputs_that_cannot_be_compared_fail_and_the_others_go_on(output):
    report = run(lambda weight, threshold, **more: output)
    assert report.counts["fail"] > 1
    assert sum(report.counts.values()) == len(report.results)
