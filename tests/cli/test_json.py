"""Every command prints JSON with --json, and nothing else on standard output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cifar_layouts as layouts
import pytest
from commands import Place, Run

from fcpts_ref.cli import build_parser
from fcpts_ref.cli import data as data_command
from fcpts_ref.cli.common import leaves
from fcpts_ref.resources import resource_path

WITHOUT = {"completion"}  # it prints a script for a shell

Prepare = Callable[[Run, Place, Path], tuple[Any, ...]]


def one_shot(run: Run, place: Place, folder: Path) -> Path:
    """A finished run."""
    out = folder / "run"
    words = ("--method=one-shot", "--sparsity=0.8", "--quiet", f"--out={out}")
    assert run("sparsify", *words, *place.options).code == 0
    return out


def traced(run: Run, place: Place, folder: Path) -> Path:
    out = folder / "trace.h5"
    words = ("--batch-size=8", "--without=*activation", "--quiet", f"--out={out}")
    assert run("trace", *words, *place.options[:2]).code == 0
    return out


def channels(run: Run, place: Place, folder: Path) -> Path:
    out = folder / "run"
    words = ("--method=channels", "--sparsity=0.5", "--cost=macs", "--quiet", f"--out={out}")
    done = run("sparsify", *words, "--epochs=1", "--batch-size=8", *place.options)
    assert done.code == 0, done.err
    return out


def report(run: Run, place: Place, folder: Path) -> tuple[Any, ...]:
    pytest.importorskip("matplotlib")
    return one_shot(run, place, folder), f"--out={folder / 'report'}"


def archive(folder: Path) -> Path:
    return layouts.write_tar(folder / "a.tar.gz", layouts.binary_version("cifar10"))


def exported(run: Run, place: Place, folder: Path) -> tuple[Any, ...]:
    file = folder / "n.pt"
    graph = "--arch=resnet8", "--normalise=none", "--input", 1, 8, 8
    assert run("models", "export", resource_path("resnet8-digits.h5"), file).code == 0
    return file, *graph, f"--out={folder / 'n.h5'}"


def sources(place: Place) -> tuple[Any, ...]:
    return place.options[0], place.options[2], "--quiet"


EXAMPLES: dict[str, Prepare] = {
    "sparsify": lambda r, p, f: ("--method=one-shot", "--quiet", f"--out={f / 'r'}", *p.options),
    "compare": lambda r, p, f: (
        f"--networks={p.network}", "--methods", "one-shot-erk", "--rates", "0.5", *sources(p),
        f"--out={f / 'r'}",
    ),
    "report": report,
    "train": lambda r, p, f: (
        "--arch=resnet8", "--epochs=1", "--batch-size=20", *sources(p), f"--out={f / 'n.h5'}",
    ),
    "evaluate": lambda r, p, f: (*p.options, "--quiet"),
    "predict": lambda r, p, f: (p.network, p.options[0], "--quiet"),
    "inspect": lambda r, p, f: (p.network,),
    "data prepare": lambda r, p, f: ("cifar10", "--from", archive(f), f"--out={f / 'd.h5'}"),
    "data list": lambda r, p, f: (f"--home={f}",),
    "data download": lambda r, p, f: ("cifar10", f"--home={f}", "--quiet"),
    "models import": exported,
    "models export": lambda r, p, f: (p.network, f / "n.pt"),
    "models remove-channels": lambda r, p, f: (channels(r, p, f), f / "small.h5"),
    "models architectures": lambda r, p, f: (),
    "models list": lambda r, p, f: (f"--home={f}",),
    "trace": lambda r, p, f: (*p.options[:2], "--batch-size=8", "--quiet", f"--out={f / 't.h5'}"),
    "diverge": lambda r, p, f: (traced(r, p, f), "--quiet"),
    "conform list": lambda r, p, f: ("--only=eq05*",),
    "conform check": lambda r, p, f: ("--adapter=reference", "--only=eq05*"),
    "conform explain": lambda r, p, f: ("eq05.0001",),
    "gradcheck": lambda r, p, f: ("--directions=1",),
    "explain": lambda r, p, f: (),
}  # fmt: skip
"""The words of a short call of every command, without its name."""

NAMES = {leaf.prog.removeprefix("fcpts-ref ") for leaf in leaves(build_parser())}


def test_every_command_has_an_example() -> None:
    assert EXAMPLES.keys() | WITHOUT == NAMES


@pytest.mark.parametrize("name", EXAMPLES)
def test_standard_output_is_json(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(data_command, "download_archive", lambda *_, **__: archive(tmp_path))
    words = EXAMPLES[name](run, place, tmp_path)
    found = run(*name.split(), *words, "--json")
    assert found.code == 0, found.err
    assert found.json


def test_conform_check_writes_json_to_a_file_too(run: Run, tmp_path: Path) -> None:
    words = ("conform", "check", "--adapter=reference", "--only=eq05*")
    found = run(*words, f"--json={tmp_path / 'report.json'}")
    assert "reference conforms" in found.out
    assert (tmp_path / "report.json").read_text().startswith("{")
