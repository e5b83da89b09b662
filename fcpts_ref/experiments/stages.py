"""The stages of a method, with a checkpoint after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fcpts_ref.experiments.checkpoint import (
    Checkpoint,
    read_checkpoint,
    version_changes,
    write_checkpoint,
)
from fcpts_ref.experiments.checksums import versions
from fcpts_ref.experiments.interrupts import held_interrupts
from fcpts_ref.experiments.pinned import PinnedJob
from fcpts_ref.pruning.method import OnStep, Result, StepReport, ignore_step
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.storage.json_files import as_json


@dataclass(frozen=True)
class Finished:
    """A result and the number of stages that led to it.

    seconds: of all sessions together.  begun_with: the versions of the first session.
    """

    result: Result
    stages_done: int
    stages: int
    seconds: float
    begun_with: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether every stage was run."""
        return self.stages_done == self.stages


def run_stages(
    pinned: PinnedJob,
    problem: Problem,
    folder: Path,
    *,
    on_step: OnStep = ignore_step,
    note: Callable[[str], None] = lambda message: None,
) -> Finished:
    """Run the stages that have no checkpoint in ``folder`` yet, and finish.

    After a kill at any moment the next call continues from the last checkpoint and ends with the
    same bits.  On KeyboardInterrupt the result is that of the last finished stage; before the
    first one, KeyboardInterrupt is raised.  note: receives a warning of one line.
    Raises InputError for a checkpoint of another job.
    """
    begun = time.perf_counter()
    method, generator = pinned.make_method(), np.random.default_rng(pinned.job.seed)
    stages, key = method.stages(problem), as_json(asdict(pinned))
    last = read_checkpoint(folder, method, generator, key)
    if last is None:
        last = Checkpoint(method.begin(problem), 0, 0.0, versions())
    elif changed := version_changes(last.versions):
        note(f"{folder} was started with other versions ({changed}): its last bits may differ")
    earlier = last.seconds
    try:
        with held_interrupts() as check:
            while last.stages_done < stages:
                state = method.advance(problem, last.state, generator, _both(on_step, check))
                spent = earlier + time.perf_counter() - begun
                last = Checkpoint(state, last.stages_done + 1, spent, last.versions)
                write_checkpoint(folder, method, last, generator, key)
                check()
    except KeyboardInterrupt:
        if last.stages_done == 0:
            raise
    result = method.finish(problem, last.state)
    seconds = earlier + time.perf_counter() - begun
    return Finished(result, last.stages_done, stages, seconds, last.versions)


def _both(on_step: OnStep, check: Callable[[], None]) -> OnStep:
    def report(step: StepReport) -> None:
        on_step(step)
        check()

    return report
