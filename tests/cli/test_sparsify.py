"""fcpts-ref sparsify: the whole command, from inputs to files, and its failures."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Place, Run, one_line, start

from fcpts_ref.cli import main
from fcpts_ref.cli.progress import step_bar
from fcpts_ref.cli.tables import table
from fcpts_ref.graphs.network import global_rate, sparsity_rates
from fcpts_ref.pruning.method import StepReport
from fcpts_ref.storage.files import lock_folder
from fcpts_ref.storage.network_files import read_arrays, read_network, write_network

SHORT = ("--epochs=2", "--batch-size=8", "--quiet")
RESULTS = ("network.h5", "history.h5")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULTS}


def test_tables_and_files(run: Run, place: Place, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run("sparsify", *place.options, *SHORT, "--sparsity=0.7", "--out", out)
    assert result.code == 0
    for word in ("dense", "one-shot L2Norm", "one-shot ERK", "FCPTS (extended)", "layer3.0.conv2"):
        assert word in result.out
    assert "the 30 test images" in result.out
    names = {path.name for path in out.iterdir()}
    assert {"job.json", "summary.json", "checkpoint.h5", *RESULTS} <= names
    network, provenance = read_network(out / "network.h5")
    weights = sum(network.sizes.values())
    assert round(global_rate(network) * weights) == round(0.7 * weights)
    assert provenance["made_by"] == "fcpts-ref sparsify"
    history, notes = read_arrays(out / "history.h5")
    assert len(history["reconstruction_loss"]) == 2 * (40 // 8)
    assert notes["layers"] == list(network.graph.prunable)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ("crop", 5, 0.5)),
        (("--augmentation=none",), ("none", 0, 0.5)),
        (("--augmentation=crop-flip", "--views=2", "--ramp=0.25"), ("crop-flip", 2, 0.25)),
        (("--profile=paper",), ("none", 0, 0.0)),
        (("--method=one-shot",), (None, None, None)),
    ],
)
def test_the_extended_profile_augments_as_the_data_allow(
    run: Run, place: Place, tmp_path: Path, words: tuple[str, ...], expected: tuple[Any, ...]
) -> None:
    out = tmp_path / "run"
    short = () if "one-shot" in str(words) else SHORT
    assert run("sparsify", *place.options, *words, *short, "--quiet", "--out", out).code == 0
    settings = json.loads((out / "job.json").read_text())["settings"]
    assert tuple(settings.get(name) for name in ("augmentation", "views", "ramp")) == expected


WAYS = [
    (),
    ("--fixed-rates", "--views=1"),
    ("--profile=paper",),
    ("--control=loss",),
    ("--profile=released", "--control=projection", "--batch-norm"),
    ("--profile=released", "--fixed-rates", "--batch-norm"),
    ("--method=pot", "--steps=2", "--batch-norm"),
    ("--method=one-shot", "--allocation=lamp", "--batch-norm"),
]


@pytest.mark.parametrize("way", WAYS)
def test_output_fits_80_columns(run: Run, place: Place, tmp_path: Path, way: Any) -> None:
    short = SHORT if "--method" not in "".join(way) else ("--quiet",)
    result = run("sparsify", *place.options, *short, *way, "--out", tmp_path / "r")
    assert result.code == 0, result.err
    too_wide = [line for line in result.out.splitlines() if len(line) > 80]
    assert all(str(tmp_path) in line for line in too_wide)  # only paths may be longer


def rows_of(run: Run, place: Place, tmp_path: Path, *words: str) -> list[str]:
    result = run("sparsify", *place.options, "--quiet", "--json", *words, "--out", tmp_path / "r")
    assert result.code == 0, result.err
    return [row["name"] for row in result.json["rows"]]


def test_every_method_has_its_row(run: Run, place: Place, tmp_path: Path) -> None:
    words = ("--method=one-shot", "--allocation=lamp")
    rows = rows_of(run, place, tmp_path, *words)
    assert rows == ["dense", "one-shot L2Norm", "one-shot ERK", "one-shot LAMP"]


def test_a_baseline_is_not_shown_twice(run: Run, place: Place, tmp_path: Path) -> None:
    rows = rows_of(run, place, tmp_path, "--method=one-shot")
    assert rows == ["dense", "one-shot L2Norm", "one-shot ERK"]


def test_new_statistics_have_rows_of_their_own(run: Run, place: Place, tmp_path: Path) -> None:
    words = ("--method=pot", "--steps=1", "--allocation=l2norm", "--batch-norm")
    rows = rows_of(run, place, tmp_path, *words)
    expected = ["dense", "one-shot L2Norm", "one-shot ERK", "POT (L2Norm)"]
    # POT has folded its batch norm: there is nothing to re-estimate
    assert rows == [*expected, "one-shot L2Norm + BN", "one-shot ERK + BN"]


def test_label_and_no_baselines(run: Run, place: Place, tmp_path: Path) -> None:
    assert rows_of(run, place, tmp_path, *SHORT, "--label=mine", "--no-baselines") == ["mine"]


def test_an_option_takes_several_layers_and_can_be_repeated(
    run: Run, place: Place, tmp_path: Path
) -> None:
    kept = ("--keep-dense", "conv*", "layer1*", "--keep-dense", "linear")
    result = run("sparsify", *place.options, *SHORT, *kept, "--out", tmp_path / "r")
    assert result.code == 0, result.err
    rates = sparsity_rates(read_network(tmp_path / "r" / "network.h5")[0])
    dense = {name for name, rate in rates.items() if rate == 0}
    assert {"conv1.weight", "linear.weight"} <= dense
    assert {name for name in rates if name.startswith("layer1")} <= dense
    assert any(rates.values())


def test_layers_can_be_left_out_capped_and_fixed(run: Run, place: Place, tmp_path: Path) -> None:
    words = ("--keep-dense=conv1", "--max-rate=layer3.*=0.6", "--layer-rate=linear=0.5")
    result = run(
        "sparsify", *place.options, *SHORT, "--sparsity=0.6", *words, "--out", tmp_path / "r"
    )
    assert result.code == 0, result.err
    assert "left out:    conv1; the target counts the other layers" in result.out
    (row,) = (line for line in result.out.splitlines() if line.startswith("conv1 "))
    assert row.split()[3:] == ["left", "out", "0.00", "%", "+0.00"]
    network, _ = read_network(tmp_path / "r" / "network.h5")
    rates = sparsity_rates(network)
    assert rates["conv1.weight"] == 0
    capped = {name: size for name, size in network.sizes.items() if name.startswith("layer3")}
    assert all(round(rates[name] * n) <= round(0.6 * n) for name, n in capped.items())
    assert abs(rates["linear.weight"] - 0.5) <= 1e-3
    counted = {name: size for name, size in network.sizes.items() if name != "conv1.weight"}
    pruned = sum(round(rates[name] * size) for name, size in counted.items())
    assert pruned == round(0.6 * sum(counted.values()))
    assert run("sparsify", "--resume", tmp_path / "r", "--keep-dense=linear").code == 2


def test_json_is_json_and_nothing_else(run: Run, place: Place, tmp_path: Path) -> None:
    result = run("sparsify", *place.options, *SHORT, "--json", "--out", tmp_path / "r")
    summary = result.json
    assert summary["folder"] == str(tmp_path / "r")
    assert summary["rows"][0]["name"] == "dense"
    weights = sum(layer["weights"] for layer in summary["layers"])
    zeros = sum(round(layer["weights"] * layer["rate_after"]) for layer in summary["layers"])
    assert zeros == round(0.9 * weights)
    stored = json.loads((tmp_path / "r" / "summary.json").read_text())
    del stored["sha256"]  # of the file
    shown = {"folder", "requested", "achieved_all_weights", "achieved_pruned_layers"}
    assert {name: summary[name] for name in summary.keys() - shown} == stored


@pytest.mark.parametrize("method", ["fcpts", "pot", "one-shot"])
def test_same_seed_same_bits(run: Run, place: Place, tmp_path: Path, method: str) -> None:
    more = {"fcpts": SHORT, "pot": ("--steps=2", "--quiet"), "one-shot": ("--quiet",)}[method]
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        words = (*place.options, *more, f"--method={method}", f"--seed={seed}", "--calibration=24")
        assert run("sparsify", *words, "--out", tmp_path / name).code == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    if method != "one-shot":
        network, other = (read_network(tmp_path / n / "network.h5")[0] for n in "ac")
        assert any(
            not np.array_equal(array, other.parameters[name])
            for name, array in network.parameters.items()
        )


def test_default_folders_do_not_collide(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--method=one-shot", "--quiet", "--json")
    folders = [run("sparsify", *place.options, *words).json["folder"] for _ in range(3)]
    assert folders[1:] == [f"{folders[0]}-2", f"{folders[0]}-3"]


def test_a_warning_if_nothing_is_pruned(run: Run, place: Place, tmp_path: Path) -> None:
    words = ("--sparsity=0", "--method=one-shot", "--quiet")
    result = run("sparsify", *place.options, *words, "--out", tmp_path / "r")
    assert result.code == 0
    assert "NOTHING WAS PRUNED" in result.err
    as_json = run("sparsify", *place.options, *words, "--json", "--out", tmp_path / "j")
    assert "NOTHING WAS PRUNED" in as_json.err


# Bad input: one line, exit code 2


BAD = {
    "target of 1": ("--sparsity=1",),
    "negative target": ("--sparsity=-0.1",),
    "target that is no number": ("--sparsity=nan",),
    "target that empties a layer": ("--sparsity=0.9999",),
    "network that is not there": ("--weights=absent",),
    "foreign file without --arch": ("--weights=absent.pth",),
    "data that are not there": ("--data=absent",),
    "another shape": ("--data=digits", "--weights=resnet8-digits", "--arch=resnet20"),
    "architecture that is none": ("--arch=resnet33",),
    "convention that is none": ("--choose=magic=1",),
    "convention without value": ("--choose=temperature",),
    "convention of another type": ("--choose=temperature=hot",),
    "convention out of range": ("--choose=batch_size=-3",),
    "negative seed": ("--seed=-1",),
    "setting of another method": ("--method=one-shot", "--epochs=3"),
    "more images than there are": ("--calibration=41",),
    "no images": ("--calibration=0",),
    "no batch": ("--batch-size=0",),
    "negative epochs": ("--epochs=-1",),
    "unknown method": ("--method=magic",),
    "layer that is not there": ("--keep-dense=magic",),
    "layer's rate out of range": ("--max-rate=conv1=2",),
    "folder that is not there": ("--resume=absent",),
}


@pytest.mark.parametrize("words", BAD.values(), ids=BAD)
def test_bad_input(run: Run, place: Place, tmp_path: Path, words: tuple[str, ...]) -> None:
    result = run("sparsify", *place.options, "--quiet", "--out", tmp_path / "r", *words)
    assert result.code == 2
    assert result.out == ""
    assert "Traceback" not in result.err
    assert one_line(result.err)
    assert not (tmp_path / "r").exists()


def test_the_number_of_images_is_a_convention(run: Run, place: Place, tmp_path: Path) -> None:
    words = (*place.options, *SHORT, "--choose=calibration_images=16", "--json")
    summary = run("sparsify", *words, "--out", tmp_path / "r").json
    assert summary["pinned"]["calibration"] == 16


def test_another_data_set_of_another_shape(run: Run, place: Place, tmp_path: Path) -> None:
    result = run("sparsify", f"--weights={place.network}", "--out", tmp_path / "r", "--quiet")
    assert result.code == 2  # digits have ten classes
    assert "choose a network, data and preprocessing that match" in result.err


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("--weights", "own.h5", "--arch", "resnet20"), "omit --arch"),
        (("--weights", "resnet8-digits", "--arch", "resnet8"), "omit --arch"),
        (("--weights", "foreign.pth"), "there is no file foreign.pth"),
        (("--weights", "unheard-of"), "give the path of an .h5 file"),
    ],
)
def test_weights_of_the_wrong_kind(run: Run, words: tuple[str, ...], advice: str) -> None:
    result = run("sparsify", *words)
    assert result.code == 2
    assert advice in result.err
    assert one_line(result.err)


def test_a_miss_names_only_options_that_the_method_has(
    run: Run, place: Place, tmp_path: Path
) -> None:
    words = ("--granularity=filter", "--cost=macs", "--sparsity=0.5", "--quiet")
    result = run(
        "sparsify", *place.options, "--method=one-shot", *words, "--out", tmp_path / "one-shot"
    )
    assert "50.00 % of the multiplications to be pruned" in result.out
    assert "MISSED the target" in result.err
    assert "--" not in result.err
    learning = ("--profile=paper", "--choose=threshold_learning_rate=100", *SHORT)
    result = run("sparsify", *place.options, *learning, "--out", tmp_path / "learned")
    assert "MISSED the target" in result.err
    assert "--control projection" in result.err


@pytest.mark.parametrize("method", ["one-shot", "fcpts"])
def test_a_target_below_what_is_zero_already(
    run: Run, place: Place, tmp_path: Path, method: str
) -> None:
    network, provenance = read_network(place.network)
    for name in network.graph.prunable:
        weight = network.parameters[name]
        weight[np.abs(weight) <= np.quantile(np.abs(weight), 0.6)] = 0
    half = tmp_path / "zeros.h5"
    write_network(half, network, provenance)
    words = (f"--weights={half}", f"--method={method}", "--sparsity=0.5")
    short = SHORT if method == "fcpts" else ("--quiet",)
    result = run("sparsify", *place.options, *words, *short, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert "of the weights were 0 before, more than the target of 50.00 %" in result.err
    assert "MISSED" not in result.err


def test_weights_that_are_not_numbers(run: Run, place: Place, tmp_path: Path) -> None:
    network, _ = read_network(place.network)
    name = network.graph.prunable[2]
    network.parameters[name].flat[5] = np.nan
    write_network(tmp_path / "nan.h5", network)
    words = ("--data", place.data, "--weights", tmp_path / "nan.h5", "--quiet")
    result = run("sparsify", *words, "--out", tmp_path / "r")
    assert result.code == 2
    assert one_line(result.err)
    assert name in result.err


def test_divergence_is_an_error_with_a_remedy(run: Run, place: Place, tmp_path: Path) -> None:
    words = ("--choose=learning_rate=1e30", *SHORT)
    result = run("sparsify", *place.options, *words, "--out", tmp_path / "r")
    assert result.code == 2
    assert one_line(result.err)
    assert "learning_rate" in result.err


@pytest.mark.parametrize(
    "words", [("--sparsity=1",), ("--weights=absent.h5",), ("--choose=temperature=0",)]
)
def test_a_refused_run_leaves_no_folder(
    run: Run, place: Place, tmp_path: Path, words: tuple[str, ...]
) -> None:
    options = (*place.options, *SHORT, "--out", tmp_path / "r")
    assert run("sparsify", *options, *words).code == 2
    assert not list(tmp_path.iterdir())
    assert run("sparsify", *options).code == 0


def test_a_folder_in_use(run: Run, place: Place, tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert run("sparsify", *place.options, *SHORT, "--out", out).code == 0
    before = contents(out)
    with lock_folder(out):
        result = run("sparsify", "--resume", out, "--quiet")
    assert result.code == 2
    assert "in use by another process" in result.err
    assert contents(out) == before


def test_a_folder_that_is_not_empty(run: Run, place: Place, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    result = run("sparsify", *place.options, *SHORT, "--out", tmp_path)
    assert result.code == 2
    assert "is not empty" in result.err
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(run: Run, place: Place, tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    result = run("sparsify", *place.options, *SHORT, "--out", tmp_path / "r")
    tmp_path.chmod(stat.S_IRWXU)
    assert result.code == 2
    assert one_line(result.err)


def test_a_folder_below_a_file(run: Run, place: Place) -> None:
    result = run("sparsify", *place.options, *SHORT, "--out", place.network / "r")
    assert result.code == 2
    assert one_line(result.err)


def test_a_full_disk_loses_nothing(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r"
    words = ("sparsify", *place.options, *SHORT, "--out", out)
    assert run(*words).code == 0
    before = contents(out)
    (out / "summary.json").unlink()  # as if it had been killed just before the end

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fcpts_ref.storage.files.os.replace", full)
    result = run("sparsify", "--resume", out, "--quiet")
    assert result.code == 2
    assert "no space left" in result.err
    assert contents(out) == before
    assert not list(out.glob(".*.part"))


# Stopping and going on


def test_resuming_a_finished_run_changes_nothing(run: Run, place: Place, tmp_path: Path) -> None:
    assert run("sparsify", *place.options, *SHORT, "--out", tmp_path / "r").code == 0
    before = contents(tmp_path / "r")
    assert run("sparsify", "--resume", tmp_path / "r", "--quiet").code == 0
    assert contents(tmp_path / "r") == before


def test_resuming_a_finished_run_prints_the_same_tables(
    run: Run, place: Place, tmp_path: Path
) -> None:
    first = run("sparsify", *place.options, *SHORT, "--out", tmp_path / "r")
    again = run("sparsify", "--resume", tmp_path / "r", "--quiet")
    assert again == first


def test_resuming_nothing_is_refused(run: Run, tmp_path: Path) -> None:
    result = run("sparsify", "--resume", "", "--quiet")
    assert result.code == 2
    assert "--resume is empty" in result.err


def test_too_little_memory_is_one_line(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **more: Any) -> Any:
        return np.empty(1 << 58, np.uint8)

    monkeypatch.setattr("fcpts_ref.pruning.fcpts.method.FCPTS.advance", full)
    result = run("sparsify", *place.options, *SHORT, "--out", tmp_path / "r")
    assert result.code == 2
    assert one_line(result.err)
    assert "too little memory" in result.err


@pytest.mark.parametrize("label", ["a\\b", "$x_$", "\\frac{", "ä ±", "<b>&"])
def test_labels_of_any_letters(run: Run, place: Place, tmp_path: Path, label: str) -> None:
    words = ("--method=one-shot", "--quiet", "--json", f"--label={label}")
    result = run("sparsify", *place.options, *words, "--out", tmp_path / "r")
    assert result.code == 0, result.err
    assert result.json["rows"][-1]["name"] == label


def test_resuming_with_other_options_is_refused(run: Run, place: Place, tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert run("sparsify", *place.options, *SHORT, "--out", out).code == 0
    result = run("sparsify", "--resume", out, "--epochs=3", "--quiet")
    assert result.code == 2
    assert one_line(result.err)
    assert "--epochs 3" in result.err
    assert run("sparsify", *place.options, *SHORT, "--resume", out).code == 0


@pytest.mark.parametrize("word", ["--sparsity=0.9", "--seed=0", "--engine=numba"])
def test_resuming_with_another_option_that_is_the_default_is_refused(
    run: Run, place: Place, tmp_path: Path, word: str
) -> None:
    out = tmp_path / "r"
    words = (*place.options, *SHORT, "--sparsity=0.8", "--seed=3", "--out", out)
    assert run("sparsify", *words).code == 0
    result = run("sparsify", "--resume", out, word, "--quiet")
    assert result.code == 2
    assert one_line(result.err)
    assert word.partition("=")[0] in result.err


def test_resuming_elsewhere_is_refused(run: Run, place: Place, tmp_path: Path) -> None:
    assert run("sparsify", *place.options, *SHORT, "--out", tmp_path / "r").code == 0
    result = run("sparsify", "--resume", tmp_path / "r", "--out", tmp_path / "s", "--quiet")
    assert result.code == 2
    assert "--out with --resume" in result.err
    assert not (tmp_path / "s").exists()


def test_resuming_with_another_network_is_refused(run: Run, place: Place, tmp_path: Path) -> None:
    network, _ = read_network(place.network)
    write_network(tmp_path / "n.h5", network)
    words = (f"--data={place.data}", f"--weights={tmp_path / 'n.h5'}", "--engine=numpy")
    assert run("sparsify", *words, *SHORT, "--out", tmp_path / "r").code == 0
    changed = {k: 2 * v for k, v in network.parameters.items()}
    write_network(tmp_path / "n.h5", network.with_parameters(changed))
    (tmp_path / "r" / "summary.json").unlink()
    result = run("sparsify", "--resume", tmp_path / "r", "--quiet")
    assert result.code == 2
    assert "the network or the data have changed" in result.err


DAMAGE: dict[str, tuple[str, bytes]] = {
    "checkpoint cut short": ("checkpoint.h5", b"\x89HDF\r\n\x1a\n"),
    "checkpoint of something else": ("checkpoint.h5", b"x" * 5000),
    "job that is no JSON": ("job.json", b"\xff\xfe"),
    "job cut short": ("job.json", b"{"),
    "job of something else": ("job.json", b'{"run": 1}'),
    "job that is a list": ("job.json", b"[]"),
    "summary of something else": ("summary.json", b'{"a": 1}'),
}


@pytest.mark.parametrize(("name", "content"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_folders(run: Run, place: Place, tmp_path: Path, name: str, content: bytes) -> None:
    out = tmp_path / "r"
    assert run("sparsify", *place.options, *SHORT, "--out", out).code == 0
    before = contents(out)
    if name == "checkpoint.h5":
        (out / "summary.json").unlink()  # the checkpoint of a finished run is not read
    (out / name).write_bytes(content)
    result = run("sparsify", "--resume", out, "--quiet")
    assert result.code == 2
    assert one_line(result.err)
    assert contents(out) == before


LONG = ("--epochs=30", "--batch-size=8", "--quiet", "--no-baselines")


@pytest.mark.parametrize(
    "way", [("--profile=released",), ("--method=pot", "--steps=100")], ids=["fcpts", "pot"]
)
def test_killed_at_any_moment_it_ends_with_the_same_bits(
    run: Run, place: Place, tmp_path: Path, way: tuple[str, ...]
) -> None:
    long = LONG if way[0] != "--method=pot" else LONG[1:]
    words = (*place.options, *long, *way, "--seed=5")
    assert run("sparsify", *words, "--out", tmp_path / "whole").code == 0
    out, draw = tmp_path / "killed", random.Random(0)
    kills = 0
    for attempt in range(6):
        again = ("--resume", out, "--quiet") if (out / "job.json").exists() else ()
        process = start("sparsify", *(again or (*words, "--out", out)))
        wait_for_start(process, out)
        time.sleep(draw.uniform(0, 0.4) if attempt else 0)  # the first kill is before any end
        process.kill()
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            break
        kills += 1
    assert kills >= 1
    assert run("sparsify", "--resume", out, "--quiet").code == 0
    assert contents(out) == contents(tmp_path / "whole")
    assert not list(out.glob(".*.part"))


def wait_for_start(process: Any, out: Path) -> None:
    """Wait until the process holds the folder's lock, so that the signal misses the imports."""
    limit = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < limit:
        lock = out / ".lock"
        if lock.exists() and lock.read_text().strip() == str(process.pid):
            return
        time.sleep(0.005)


def test_ctrl_c_leaves_a_result_and_can_be_continued(
    run: Run, place: Place, tmp_path: Path
) -> None:
    words = (*place.options, *LONG, "--profile=released", "--epochs=60")
    assert run("sparsify", *words, "--out", tmp_path / "whole").code == 0
    out = tmp_path / "stopped"
    process = start("sparsify", *words, "--out", out)
    limit = time.monotonic() + 60
    while not (out / "checkpoint.h5").exists() and time.monotonic() < limit:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    if "stopped after stage" in said:  # and not while it was evaluating
        assert f"--resume {out}" in said
        assert "FCPTS (released)" in printed
        assert "UNFINISHED:  stopped after stage" in printed
        network, _ = read_network(out / "network.h5")
        assert abs(global_rate(network) - 0.9) < 1e-3
    assert run("sparsify", "--resume", out, "--quiet").code == 0
    assert contents(out) == contents(tmp_path / "whole")


def test_ctrl_c_before_the_first_stage(
    run: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    out = tmp_path / "r"
    with monkeypatch.context() as patch:
        patch.setattr("fcpts_ref.pruning.fcpts.method.FCPTS.advance", interrupted)
        result = run("sparsify", *place.options, *SHORT, "--out", out)
    assert result.code == 130
    assert "stopped" in result.err
    assert run("sparsify", "--resume", out, "--quiet").code == 0


def test_two_processes_on_one_folder(run: Run, place: Place, tmp_path: Path) -> None:
    out = tmp_path / "r"
    words = (*place.options, *LONG, "--profile=released", "--epochs=60", "--out", out)
    first = start("sparsify", *words)
    wait_for_start(first, out)
    second = run("sparsify", *words)
    assert second.code == 2
    assert one_line(second.err)
    first.kill()
    first.communicate()


# Progress


@pytest.mark.parametrize("columns", [80, 160])
def test_progress_shows_rate_losses_speed_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    numbers = {"reconstruction_loss": 0.5, "control_loss": 0.25, "global_rate": 0.75}
    with step_bar("fcpts") as on_step:
        for step in range(1, 5):
            on_step(StepReport(step, 4, 64, numbers))
            time.sleep(0.25)
    shown = capsys.readouterr().err
    for word in ("fcpts", "rate 0.7500", "img/s", "<"):
        assert word in shown
    for word in ("L_rec 0.5000", "L_c 0.2500"):
        assert (word in shown) == (columns > 80)


def test_columns_line_up() -> None:
    text = table(("name", "n"), [("a", "1"), ("longer", "23")])
    assert text.splitlines() == ["name     n", "------  --", "a        1", "longer  23"]


@pytest.mark.parametrize(
    "command",
    ["sparsify", "compare", "report", "train", "evaluate", "predict", "inspect", "data", "models"],
)
def test_help_fits_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run(command, "--help")
    assert result.code == 0
    assert max(len(line) for line in result.out.splitlines()) <= 80


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("sparsify", "--model", "resnet9"), "fcpts-ref sparsify"),
        (("data", "prepare", "cifar10", "--from", "x", "--wrong"), "fcpts-ref data prepare"),
        (("--wrong", "sparsify"), "fcpts-ref"),
    ],
    ids=["command", "command of a command", "before the command"],
)
def test_an_unknown_option_points_to_the_help_that_lists_the_known(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], command: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{command}: unrecognized arguments: --")
    assert said.endswith(f"; see {command} --help\n")
    assert said.count("\n") == 1


def test_data_without_objects_are_not_said_to_have_0_classes(run: Run, place: Place) -> None:
    result = run("sparsify", f"--data={place.data}", "--weights=ssd-lite-scenes")
    assert result.code == 2
    assert "in 11 classes; data 'squares' has (1, " in result.err
    assert " in 0" not in result.err
