"""A new method is a class and a name in ``METHODS``: options, runs, comparisons, reports follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

import fcpts_ref.resources
from fcpts_ref.cli import main
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.run import resume, run
from fcpts_ref.graphs.network import global_rate
from fcpts_ref.pruning.masks import mask_rates, mask_thresholds, masked_network
from fcpts_ref.pruning.method import MethodBase, OnStep, Result, StepReport
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.registry import METHODS
from fcpts_ref.pruning.settings import setting
from fcpts_ref.spec.budget import exact_masks
from fcpts_ref.storage.network_files import read_network

Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class Lottery(MethodBase):
    """Weights are drawn by lot, in several rounds."""

    description: ClassVar[str] = "which weights go is drawn by lot"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "lottery": {},
        "lottery-fair": {"fair": True},
    }

    rounds: int = setting(3, "draws that are added up")
    fair: bool = setting(False, "give every weight the same chance")
    drawn: Literal["uniform", "normal"] = setting("uniform", "distribution of a draw")

    @property
    def label(self) -> str:
        return f"lottery, {'fair' if self.fair else 'by magnitude'}"

    def begin(self, problem: Problem) -> dict[str, Any]:
        return {name: np.zeros(w.shape) for name, w in problem.weights.items()}

    def stages(self, problem: Problem) -> int:
        return self.rounds

    def advance(
        self, problem: Problem, state: Arrays, generator: np.random.Generator, on_step: OnStep
    ) -> dict[str, Any]:
        on_step(StepReport(1, 1, len(problem.images), {"loss": 0.0}))
        draw = generator.random if self.drawn == "uniform" else generator.standard_normal
        return {name: held + draw(held.shape) for name, held in state.items()}

    def finish(self, problem: Problem, state: Arrays) -> Result:
        size = {name: 1 if self.fair else abs(w) for name, w in problem.weights.items()}
        scores = {name: np.abs(held * size[name]) for name, held in state.items()}
        level = float(np.quantile(np.concatenate([s.ravel() for s in scores.values()]), 0.5))
        masks = exact_masks(scores, dict.fromkeys(scores, level), problem.count)
        rates = mask_rates(masks)
        return Result(
            network=masked_network(problem.network, masks),
            thresholds=mask_thresholds(problem.weights, masks),
            rates=rates,
            initial_rates=rates,
            rate_before_projection=problem.target,
        )

    def pack(self, state: Arrays) -> tuple[dict[str, Any], dict[str, Any]]:
        return dict(state), {}

    def unpack(self, arrays: Arrays, notes: Mapping[str, Any]) -> dict[str, Any]:
        return dict(arrays)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "lottery", Lottery)


SMALL = ("--engine=numpy", "--quiet")


def test_its_options_and_description_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sparsify", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        ", ".join(METHODS),
        "method lottery: which weights go is drawn by lot",
        "--rounds N draws that are added up (default: 3)",
        "--fair give every weight the same chance",
        "--drawn {uniform,normal}",
    ):
        assert words in text
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "lottery, lottery-fair" in text
    assert "--rounds" in text


def test_it_runs_from_python_and_resumes(tmp_path: Path) -> None:
    job = Job(method="lottery", settings={"rounds": 2}, engine="numpy", baselines=False)
    summary = run(job, tmp_path / "whole")
    assert summary.method == "lottery, by magnitude"
    assert summary.pinned.settings == {"rounds": 2, "fair": False, "drawn": "uniform"}
    steps: list[StepReport] = []

    def stop(report: StepReport) -> None:
        steps.append(report)
        if len(steps) == 2:
            raise KeyboardInterrupt

    assert run(job, tmp_path / "r", on_step=stop).stages_done == 1
    assert resume(tmp_path / "r").complete
    names = [tmp_path / name / "network.h5" for name in ("whole", "r")]
    assert names[0].read_bytes() == names[1].read_bytes()
    network, _ = read_network(names[0])
    assert round(global_rate(network) * sum(network.sizes.values())) == round(0.9 * 74_512)
    images = np.zeros((1, 1, 8, 8), np.float32)
    dense = read_network(fcpts_ref.resources.resource_path("resnet8-digits.h5"))[0]
    result = fcpts_ref.sparsify(dense, images, target=0.9, method="lottery", rounds=2)
    for name, mask in network.masks.items():
        assert (result.network.masks[name] == mask).all()


def test_it_runs_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sparsify", "--method=lottery", "--fair", "--rounds=1", "--drawn=normal", *SMALL]
    assert main([*words, f"--out={tmp_path / 'r'}"]) == 0
    assert "lottery, fair" in capsys.readouterr().out
    job = run(Job(method="lottery", settings={"rounds": 1}), tmp_path / "b").pinned.job
    assert job.settings == {"rounds": 1}
    assert main(["sparsify", "--method=lottery", "--epochs=3", f"--out={tmp_path / 'c'}"]) == 2
    assert "it has --rounds, --fair, --drawn" in capsys.readouterr().err


def test_it_is_compared_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "--methods", "lottery", "lottery-fair", "--rates=0.5", "--seeds", "0", "1"]
    assert main([*words, "--rounds=1", *SMALL, f"--out={tmp_path / 'grid'}"]) == 0
    printed = capsys.readouterr().out
    assert "lottery, by magnitude" in printed
    assert "lottery, fair" in printed
    pytest.importorskip("matplotlib")
    assert main(["report", str(tmp_path / "grid"), f"--out={tmp_path / 'report'}"]) == 0
    page = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert "lottery, by magnitude" in page
    assert "&quot;rounds&quot;: 1" in page
