"""Run a job in a folder, or resume it there.

    job.json         the job, its resolved settings, checksums of its inputs
    checkpoint.h5    the state after the last finished stage
    network.h5       the sparse network
    history.h5       losses, rates and thresholds by step
    allocation.*, steps.*   figures, if matplotlib is installed
    summary.json     everything that the tables show, with versions

Every file appears whole or not at all, and one process writes to a folder at a time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fcpts_ref.data.preprocessing import Preprocessing, as_provenance
from fcpts_ref.errors import InputError
from fcpts_ref.experiments.evaluate import evaluate
from fcpts_ref.experiments.figures import can_plot, write_run_figures
from fcpts_ref.experiments.inputs import Inputs, find_inputs
from fcpts_ref.experiments.job import Job
from fcpts_ref.experiments.pinned import JOB_FILE, PinnedJob, pin, read_pinned, write_pinned
from fcpts_ref.experiments.progress import SILENT, Progress
from fcpts_ref.experiments.stages import Finished, run_stages
from fcpts_ref.experiments.summary import (
    Summary,
    is_complete,
    method_name,
    read_summary,
    summarise,
    write_summary,
)
from fcpts_ref.pruning.method import OnStep, StepReport, ignore_step
from fcpts_ref.pruning.problem import make_problem
from fcpts_ref.storage.files import LOCK_NAME, describe_failure, lock_folder
from fcpts_ref.storage.json_files import as_json
from fcpts_ref.storage.network_files import write_arrays, write_network

FindInputs = Callable[..., Inputs]
"""``find_inputs``, or a function of the same arguments."""
NETWORK, HISTORY = "network.h5", "history.h5"


def run(
    job: Job,
    folder: Path | str,
    *,
    threads: int | None = None,
    on_step: OnStep = ignore_step,
    progress: Progress = SILENT,
    find: FindInputs = find_inputs,
) -> Summary:
    """Run a job in a new or empty folder: prune, evaluate, and write the files of this module.

    threads: None for all cores; the result of the Numba engine does not depend on it.
    on_step: called with a ``StepReport`` after every step.
    find: reads what the job names; on another machine it may lie elsewhere.
    Ctrl-C ends the current step; the summary is then that of the last finished stage, and
    ``resume`` continues.  Before the first stage, KeyboardInterrupt is raised.
    Raises InputError, one line, for bad input, and then leaves nothing behind.
    """
    folder = Path(folder)
    with _new_folder(folder):
        inputs = find(job, threads=threads, note=progress.note)
        pinned = pin(job, inputs)
        write_pinned(folder, pinned)
        return _continue(pinned, inputs, folder, threads, on_step, progress)


def resume(
    folder: Path | str,
    *,
    threads: int | None = None,
    on_step: OnStep = ignore_step,
    progress: Progress = SILENT,
    find: FindInputs = find_inputs,
) -> Summary:
    """Continue the run in a folder, to the same bits as if it had never been stopped.

    A finished run is not computed again: its summary is returned as it is.  The arguments are those
    of ``run``.  Raises InputError for a folder without a run, and if inputs or defaults have
    changed since the run was started.
    """
    folder = Path(folder)
    if not (folder / JOB_FILE).is_file():
        missing = FileNotFoundError(2, "no such file")
        raise InputError(describe_failure(f"cannot read {folder / JOB_FILE}", missing))
    with lock_folder(folder):
        _remove_partial_files(folder)
        pinned = read_pinned(folder)
        pinned.check_defaults(folder)
        if all((folder / name).is_file() for name in (NETWORK, HISTORY)) and is_complete(folder):
            return read_summary(folder)
        inputs = find(pinned.job, threads=threads, note=progress.note)
        now = replace(pin(pinned.job, inputs), settings=pinned.settings)  # checked above
        if as_json(asdict(now)) != as_json(asdict(pinned)):
            raise InputError(
                f"{folder} was started with other inputs: the network or the data have changed; "
                "restore them, or start again in a new folder"
            )
        return _continue(pinned, inputs, folder, threads, on_step, progress)


def run_or_resume(job: Job, folder: Path | str, **options: Any) -> Summary:
    """Resume the run in the folder if there is one, otherwise run the job there.

    options: those of ``run``.
    """
    if (Path(folder) / JOB_FILE).is_file():
        return resume(folder, **options)
    return run(job, folder, **options)


def _continue(
    pinned: PinnedJob,
    inputs: Inputs,
    folder: Path,
    threads: int | None,
    on_step: OnStep,
    progress: Progress,
) -> Summary:
    """Run the stages that are left, evaluate, and write the results."""
    begun, job, network = time.perf_counter(), pinned.job, inputs.network
    problem = make_problem(
        network,
        inputs.images,
        job.target,
        engine=job.engine,
        threads=threads,
        selection=job.selection,
        granularity=job.granularity,
        cost=job.cost,
        labels=inputs.calibration_labels,
    )
    with progress.steps(job.method) as show, _compiled_ahead(pinned, inputs, threads):

        def both(report: StepReport) -> None:
            show(report)
            on_step(report)

        finished = run_stages(pinned, problem, folder, on_step=both, note=progress.note)
    pruned, name = finished.result.network, method_name(pinned)
    rows = evaluate(job, name, pruned, inputs, threads=threads, progress=progress)
    summary = summarise(pinned, inputs, finished, rows, time.perf_counter() - begun)
    _write(folder, summary, finished, inputs.preprocessing)
    return summary


def _write(
    folder: Path, summary: Summary, finished: Finished, preprocessing: Preprocessing | None
) -> None:
    """Write the network, the history, the figures and, last, the summary."""
    result = finished.result
    provenance = {"made_by": "fcpts-ref sparsify", "job": as_json(asdict(summary.pinned))}
    provenance |= as_provenance(preprocessing)
    storage = summary.pinned.job.storage
    write_network(folder / NETWORK, result.network, provenance, storage=storage)
    layers = [name for name in result.rates if name not in result.left_out]  # columns of "rates"
    write_arrays(folder / HISTORY, result.history, {"layers": layers})
    if can_plot():
        write_run_figures(folder, summary, result.history)
    write_summary(folder, summary)


def _compiled_ahead(
    pinned: PinnedJob, inputs: Inputs, threads: int | None
) -> AbstractContextManager[None]:
    """Return a context that compiles the kernels of backward on another core, if needed."""
    if pinned.job.engine != "numba" or not pinned.make_method().runs_backward:
        return nullcontext()
    from fcpts_ref.engines.numba.warmup import backward_compiled_ahead

    return backward_compiled_ahead(inputs.network.graph, inputs.network.dtype, threads)


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """Lock a new or empty folder; after an InputError before the first stage, leave no trace.

    Raises InputError unless the folder is absent or empty.
    """
    created = not folder.exists()
    _check_empty(folder)
    with ExitStack() as stack:
        stack.enter_context(lock_folder(folder))
        _check_empty(folder)  # another process may have been faster
        _remove_partial_files(folder)
        try:
            yield
        except InputError:
            _abandon(folder, remove_folder=created)
            raise


def _check_empty(folder: Path) -> None:
    """Raise InputError if anything but locks and unfinished files lies in the folder."""
    if not folder.exists():
        return
    if not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir()):
        raise InputError(
            f"{folder} exists and is not empty; choose another folder, or resume the run in it"
        )


def _abandon(folder: Path, *, remove_folder: bool) -> None:
    """Remove the files of a run that has no stage yet, and its folder; nothing else."""
    begun = (JOB_FILE, LOCK_NAME)
    with contextlib.suppress(OSError):
        if any(path.name not in begun for path in folder.iterdir()):
            return
        for name in begun:
            (folder / name).unlink(missing_ok=True)
        if remove_folder:
            folder.rmdir()


def _remove_partial_files(folder: Path) -> None:
    """Remove files that a killed process was writing."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)
