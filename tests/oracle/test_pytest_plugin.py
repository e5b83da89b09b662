"""The pytest plugin: off by default, and a failure if nothing was executed."""

import importlib.metadata
import subprocess
import sys

import pytest

INSTALLED = bool(importlib.metadata.entry_points(group="pytest11", name="fcpts"))
PLUGIN = [] if INSTALLED else ["-p", "fcpts_ref.oracle.pytest_plugin"]


def run_pytest(folder, *arguments):
    (folder / "test_own.py").write_text("def test_own():\n    assert True\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *PLUGIN, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_the_option_nothing_is_added_or_imported(tmp_path):
    (tmp_path / "test_modules.py").write_text(
        "import sys\n"
        "def test_modules():\n"
        "    assert not {'numpy', 'h5py', 'numba', 'fcpts_ref.oracle.check'} & set(sys.modules)\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_cases_join_the_users_tests(tmp_path):
    done = run_pytest(tmp_path, "--fcpts-adapter=reference", "--fcpts-only=eq08")
    assert done.returncode == 0, done.stdout
    assert "cases executed" in done.stdout


def test_a_failing_case_fails_the_run_with_the_checkers_report(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def control_loss(rates, sizes, target):\n    return rates.mean() - target\n"
    )
    done = run_pytest(tmp_path, "--fcpts-adapter=mine", "--fcpts-only=eq03.0004")
    assert done.returncode == 1
    assert "times the tolerance" in done.stdout
    assert "repeat: fcpts-ref conform check --adapter mine --only eq03.0004" in done.stdout
    assert "1 passed" in done.stdout


def test_executing_nothing_fails_the_run(tmp_path):
    (tmp_path / "mine.py").write_text("")
    done = run_pytest(tmp_path, "--fcpts-adapter=mine")
    assert done.returncode == 1
    assert "0 of" in done.stdout


def test_a_missing_operation_fails_if_all_are_required(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def control_loss(rates, sizes, target):\n    raise NotImplementedError\n"
    )
    words = ("--fcpts-adapter=mine", "--fcpts-only=eq03.0004")
    done = run_pytest(tmp_path, *words, "--fcpts-complete")
    assert done.returncode == 1
    assert "every operation was asked for" in done.stdout


def test_deselection_by_name_works(tmp_path):
    done = run_pytest(tmp_path, "--fcpts-adapter=reference", "-k", "eq08.0010")
    assert done.returncode == 0
    assert "1 passed" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--fcpts-adapter=no_such_module"],
        ["--fcpts-adapter=reference", "--fcpts-skip=eq99*"],
    ],
)
def test_bad_options_are_usage_errors(tmp_path, arguments):
    done = run_pytest(tmp_path, *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in done.stderr
