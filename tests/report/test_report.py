"""Figures and the page: made from runs, whole, self-contained, escaped."""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from summaries import KNOWN, KNOWN_DETECTOR, detector_summary, summary

from fcpts_ref.errors import InputError
from fcpts_ref.experiments import figures
from fcpts_ref.experiments.dense import read_dense
from fcpts_ref.experiments.outcomes import Scores, lines_of, outcomes, setup_of
from fcpts_ref.experiments.run import HISTORY
from fcpts_ref.experiments.summary import SUMMARY, Summary, write_summary
from fcpts_ref.report.build import PAGE, Chosen, _learned_and_fixed, write_report
from fcpts_ref.report.collect import run_folders, summaries_in
from fcpts_ref.report.figures import learned_against_fixed, score_over_rate
from fcpts_ref.report.page import Heading, Picture, Table, Text, make_page
from fcpts_ref.report.sorting import SCRIPT
from fcpts_ref.storage.json_files import write_json
from fcpts_ref.storage.network_files import write_arrays

pytest.importorskip("matplotlib")

EVIL = "<script>alert('&\"')</script>"


def history(steps: int = 200) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {
        "reconstruction_loss": np.exp(-np.arange(steps) / 50) + 0.1 * generator.random(steps),
        "control_loss": np.where(np.arange(steps) % 7, 0.01, 0.0),  # exact zeros among them
        "global_rate": 0.9 + 0.01 * generator.standard_normal(steps),
    }


def write_run(folder: Path, one: Summary) -> Path:
    folder.mkdir(parents=True)
    write_summary(folder, one)
    write_arrays(folder / HISTORY, history())
    return folder


def assert_pictures(paths: list[Path]) -> None:
    assert [path.suffix for path in paths] == [".png", ".svg"]
    assert paths[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    ElementTree.parse(paths[1])  # well formed


# The page


class Checker(HTMLParser):
    """Collects tags, attributes and text; void elements do not have to be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check_page(text: str) -> Checker:
    """Well formed, no script but the one that sorts, nothing fetched from anywhere."""
    checker, script = Checker(), f"<script>{SCRIPT}</script>"
    assert text.count(script) == 1
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text  # browsers run no other
    text = text.replace(script, "")
    checker.feed(text)
    assert checker.open == []
    for tag, attributes in checker.seen:
        assert tag not in ("script", "link", "iframe", "object", "form")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert not re.search(r"@import|url\(", text)
    return checker


def test_every_text_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "x.svg").write_text("<svg/>")
    parts = [
        Heading(EVIL),
        Text(EVIL),
        Text(EVIL, note=True),
        Table((EVIL, "b"), [(EVIL, "2")]),
        Picture(tmp_path / "x.svg", EVIL),
    ]
    checker = check_page(make_page(EVIL, parts))
    assert checker.text.count(EVIL) == 8  # title, h1, h2, p, p, th, td, figcaption
    (image,) = [attributes for tag, attributes in checker.seen if tag == "img"]
    assert image["alt"] == EVIL
    source = image["src"] or ""
    assert base64.b64decode(source.partition(",")[2]) == b"<svg/>"


def test_the_whole_report(tmp_path: Path) -> None:
    folders = []
    for seed in (0, 1):
        for rate in (0.8, 0.9):
            for method, learns in (("FCPTS", True), ("FCPTS, fixed", False)):
                settings = {"epochs": 10, "learn_rates": learns}
                top1 = rate - seed / 100
                one = summary(method=method, seed=seed, rate=rate, top1=top1, settings=settings)
                folders.append(write_run(tmp_path / "runs" / f"{method}{rate}{seed}", one))
    out = tmp_path / "report"
    out.mkdir()
    written = write_report(out, folders, summaries_in(folders), KNOWN)
    names = {path.name for path in written}
    assert PAGE in names
    for kind in ("accuracy", "learned", "allocation", "steps"):
        assert {f.rsplit(".")[-1] for f in names if f.startswith(kind)} == {"png", "svg"}
    checker = check_page((out / PAGE).read_text(encoding="utf-8"))
    assert "resnet32 on cifar10, dense 93.00 %" in checker.text
    assert "90.35" in checker.text  # the paper's number
    assert sum(tag == "img" for tag, _ in checker.seen) == 4


def test_the_report_of_a_detector(tmp_path: Path) -> None:
    folders = [
        write_run(tmp_path / "runs" / f"{rate}", detector_summary(rate / 2, rate=rate))
        for rate in (0.8, 0.9)
    ]
    out = tmp_path / "report"
    out.mkdir()
    written = write_report(out, folders, summaries_in(folders), KNOWN_DETECTOR)
    assert any(path.name.startswith("precision-") for path in written)
    assert not any(path.name.startswith("accuracy-") for path in written)
    checker = check_page((out / PAGE).read_text(encoding="utf-8"))
    assert "mobilenet_v2_ssd_lite on voc, dense mAP 70.00 %" in checker.text
    assert "Rates, mAP and drops in percent" in checker.text
    assert "top-1" not in checker.text.lower()
    (tmp_path / "one").mkdir()
    write_report(tmp_path / "one", folders[:1], summaries_in(folders[:1]), KNOWN_DETECTOR)
    text = (tmp_path / "one" / PAGE).read_text(encoding="utf-8")
    assert "top-1" not in check_page(text).text.lower()
    assert "40.00" in text


def test_learned_and_fixed_are_a_pair_by_their_settings(tmp_path: Path) -> None:
    """A run of one epoch with the same name is not compared with the fixed rates."""
    chosen = []
    for epochs, learns, top1 in ((1, True, 0.4), (10, True, 0.9), (10, False, 0.8)):
        name = "FCPTS" if learns else "FCPTS, fixed"
        settings = {"epochs": epochs, "learn_rates": learns}
        chosen.append(summary(method=name, top1=top1, settings=settings))
    lines = lines_of(o for one in chosen for o in outcomes(one, KNOWN))
    names = {line.setup: line.method for line in lines}
    made = [Chosen(tmp_path, one, names[setup_of(one)]) for one in chosen]
    pair = _learned_and_fixed(lines, made)
    assert [(line.method, line.top1) for line in pair] == [("FCPTS #2", 0.9), ("FCPTS, fixed", 0.8)]


def test_stopped_runs_are_marked(tmp_path: Path) -> None:
    one = summary(stages_done=1)
    folder = write_run(tmp_path / "run", one)
    (tmp_path / "report").mkdir()
    write_report(tmp_path / "report", [folder], [one], KNOWN)
    text = check_page((tmp_path / "report" / PAGE).read_text(encoding="utf-8")).text
    assert "1 of them was stopped early and is marked as unfinished" in text
    assert "FCPTS, resnet32, cifar10 (unfinished: stage 1 of 2)" in text


def test_hostile_names_reach_neither_paths_nor_page(tmp_path: Path) -> None:
    one = summary(method=f"../{EVIL}")
    folder = write_run(tmp_path / "run", one)
    out = tmp_path / "report"
    out.mkdir()
    write_report(out, [folder], [one], KNOWN)
    check_page((out / PAGE).read_text(encoding="utf-8"))
    assert {path.name for path in tmp_path.iterdir()} == {"run", "report"}
    assert all(re.fullmatch(r"[A-Za-z0-9.-]+", path.name) for path in out.iterdir())


# Figures


def test_figures_are_the_same_file_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        figures.write_run_figures(tmp_path / name, summary(), history())
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert len(list((tmp_path / "a").iterdir())) == 4


def test_a_run_without_steps_has_no_figure_of_them(tmp_path: Path) -> None:
    figures.write_run_figures(tmp_path, summary(), {})
    assert {path.name for path in tmp_path.iterdir()} == {"allocation.png", "allocation.svg"}


@pytest.mark.parametrize("steps", [1, 2, 49, 51])
def test_short_histories(tmp_path: Path, steps: int) -> None:
    paths = figures.losses_and_rates(tmp_path, "steps", history(steps), 0.9, "short")
    assert_pictures(paths)


def test_losses_that_are_all_zero_or_not_finite(tmp_path: Path) -> None:
    held = {"reconstruction_loss": np.zeros(5), "control_loss": np.full(5, np.nan)}
    assert_pictures(figures.losses_and_rates(tmp_path, "steps", held, 0.9, "zero"))


def test_many_methods_and_layers(tmp_path: Path) -> None:
    many = [summary(method=f"m{i}", rate=r, top1=i / 12) for i in range(12) for r in (0.5, 0.9)]
    lines = lines_of(o for one in many for o in outcomes(one, {}))
    assert_pictures(score_over_rate(tmp_path, "a", lines, "twelve methods"))
    assert_pictures(learned_against_fixed(tmp_path, "l", lines[:4], "four"))
    names = [f"layer3.{i}.conv1" for i in range(57)]
    rates = {"ERK": np.linspace(0, 1, 57)}
    assert_pictures(figures.allocation_by_layer(tmp_path, "d", names, rates, "deep"))


def test_running_mean_never_looks_ahead() -> None:
    values = np.arange(200.0)
    smooth = figures.running_mean(values)  # over 4 steps
    assert np.abs(smooth[10:] - (values[10:] - 1.5)).max() <= 1e-9
    assert smooth[0] == 0.0
    assert abs(smooth[2] - 1.0) <= 1e-12


def test_without_matplotlib_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "can_plot", lambda: False)
    with pytest.raises(InputError, match=r"pip install '\.\[plot\]'"):
        figures.require_plot()


# Finding runs


def test_the_runs_of_a_grid_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = {
        f"{rate}/seed{seed}": summary(rate=rate, seed=seed)
        for rate in (0.8, 0.9)
        for seed in (0, 1)
    }
    folders = [write_run(tmp_path / "grid" / place, one) for place, one in runs.items()]
    (tmp_path / "report").mkdir()
    write_report(tmp_path / "report", folders, list(runs.values()), KNOWN)
    page = (tmp_path / "report" / PAGE).read_text()
    assert all(f"<td>{Path(place)}</td>" in page for place in runs)


def test_runs_are_found_in_and_under_a_folder_once(tmp_path: Path) -> None:
    a = write_run(tmp_path / "x" / "a", summary())
    b = write_run(tmp_path / "x" / "b", summary())
    assert run_folders([tmp_path, a, b]) == [a, b]
    with pytest.raises(InputError, match="no finished run"):
        run_folders([tmp_path / "absent"])


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"settings', "\x00"])
def test_files_that_are_no_summaries(tmp_path: Path, text: str) -> None:
    (tmp_path / SUMMARY).write_text(text)
    with pytest.raises(InputError, match=r"summary\.json"):
        summaries_in([tmp_path])


def test_the_list_of_dense_networks(tmp_path: Path) -> None:
    assert read_dense(tmp_path) == {}
    entry = {"data": "cifar10", "sha256": "abc", "top1": 0.9, "top5": 0.99}
    write_json(tmp_path / "dense.json", [entry])
    assert read_dense(tmp_path) == {("cifar10", "abc"): Scores(0.9, 0.99)}
    detector = {"data": "voc", "sha256": "def", "mean_precision": 0.7}
    write_json(tmp_path / "dense.json", {"networks": [entry, detector]})
    assert read_dense(tmp_path)["voc", "def"] == Scores(None, None, 0.7)
    for damaged in ([{}], 3, [1], [{**entry, "top1": "x"}], [{**detector, "mean_precision": ""}]):
        write_json(tmp_path / "dense.json", damaged)
        with pytest.raises(InputError, match="damaged"):
            read_dense(tmp_path)


def test_tables_sort_by_a_button_in_every_heading(tmp_path: Path) -> None:
    text = make_page("t", [Table(("a", "b"), [("x", "1"), ("y", "2")])])
    assert text.count('<th scope="col"') == text.count('<button type="button">') == 2
    assert text.count("<script>") == 1
    assert "http" not in text.split("<script>")[1]  # it loads nothing
    assert "viewport" in text


def test_names_in_figures_do_not_steer_a_terminal(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    rates = {"\x1b[2J\u4e2d": np.zeros(1)}
    figures.allocation_by_layer(tmp_path, "a", ["\x1b[2J"], rates, "title\x07")
    assert not recwarn.list
    assert r"\x1b[2J" in figures.literal("\x1b[2J")
