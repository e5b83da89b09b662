"""Messages name options, not Python's arguments; empty arguments are refused."""

from __future__ import annotations

import pytest
from commands import Run, one_line

from fcpts_ref.cli import build_parser
from fcpts_ref.cli.wording import with_options


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("batch_size is 0; expected 1 or more", "--batch-size is 0; expected 1 or more"),
        ("target is 90.0; expected a rate", "--sparsity is 90.0; expected a rate"),
        ("ratio_rate, penalty and steepness are (1, 2, 3)",
         "--ratio-rate, --penalty and --steepness are (1, 2, 3)"),
        ("views is 3; choose an augmentation, or views=0",
         "--views is 3; choose an augmentation, or --views 0"),
        ("ramp is 2.0 with control 'loss'; expected it with control='projection'",
         "--ramp is 2.0 with control 'loss'; expected it with --control projection"),
        ("a; use --choose temperature=4", "a; use --choose temperature=4"),
        ("cannot read data=1.npz: no such file", "cannot read data=1.npz: no such file"),
        ("strides is 3; use strides=1", "strides is 3; use strides=1"),
        ("threads is 0; expected more", "threads is 0; expected more"),  # not given
        ("a; use learning_rate=0.1", "a; use learning_rate=0.1"),  # a convention
        ("data 'x' has (1, 8, 8)", "data 'x' has (1, 8, 8)"),
    ],
)  # fmt: skip
def test_names_of_settings_become_options(message: str, expected: str) -> None:
    words = ("sparsify", "--batch-size", "0", "--sparsity=90", "--penalty", "2", "--ramp", "2")
    assert with_options(message, (*words, "--views", "3"), build_parser()) == expected


def test_only_options_of_the_command_are_named() -> None:
    message = "batch_size is 0; use batch_size=1"
    assert with_options(message, ("inspect", "--batch-size", "0"), build_parser()) == message


@pytest.mark.parametrize(
    "words",
    [
        ("--method", "pot", "--weight-learning-rate", "-1"),
        ("--views", "-1"),
        ("--sparsity", "90"),
        ("--micro-batch", "0"),
    ],
)
def test_a_refused_setting_is_named_as_it_was_given(run: Run, words: tuple[str, ...]) -> None:
    result = run("sparsify", *words)
    assert result.code == 2
    assert one_line(result.err)
    assert result.err.startswith(f"fcpts-ref sparsify: {words[-2]} is ")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("sparsify", "--out", ""), "--out"),
        (("sparsify", "--resume="), "--resume"),
        (("evaluate", "--home", ""), "--home"),
        (("inspect", ""), "an argument"),
        (("",), "an argument"),
    ],
)
def test_empty_arguments_are_refused(run: Run, words: tuple[str, ...], name: str) -> None:
    result = run(*words)
    assert result.code == 2
    assert result.err == f"fcpts-ref: {name} is empty; give a value, or omit it\n"
