"""Outcomes averaged over seeds, and the lines and texts of a table."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from summaries import KNOWN, KNOWN_DETECTOR, detector_summary, summary

from fcpts_ref.experiments.evaluate import Row
from fcpts_ref.experiments.outcomes import Scores, lines_of, outcomes
from fcpts_ref.experiments.paper import DENSE, TABLE, paper_top1
from fcpts_ref.experiments.summary import Summary
from fcpts_ref.experiments.tables import HEADER, duration, headed, number, table_of
from fcpts_ref.pruning.registry import make_method


def with_rows(one: Summary, *rows: Row) -> Summary:
    return replace(one, rows=rows)


def with_pins(one: Summary, **pins: Any) -> Summary:
    return replace(one, pinned=replace(one.pinned, **pins))


DENSE_ROW = Row("dense", None, 0.0, 0.92, 1.0, 0.0)


def test_lines_are_means_and_spreads_over_seeds() -> None:
    runs = [summary(top1=t, seed=s) for s, t in enumerate((0.90, 0.91, 0.95))]
    (line,) = lines_of(o for one in runs for o in outcomes(one, KNOWN))
    assert line.seeds == 3
    assert abs(line.top1 - 0.92) <= 1e-12
    assert line.spread is not None
    assert abs(line.spread - math.sqrt((0.02**2 + 0.01**2 + 0.03**2) / 2)) <= 1e-12
    assert line.drop is not None
    assert abs(line.drop - 0.01) <= 1e-12
    assert (line.paper_top1, line.paper_drop) == (0.9035, pytest.approx(0.0318))


def test_a_repeated_run_counts_once() -> None:
    runs = [summary(top1=0.9, seed=0), summary(top1=0.9, seed=0), summary(top1=0.92, seed=1)]
    (line,) = lines_of(o for one in runs for o in outcomes(one, KNOWN))
    assert line.seeds == 2
    assert line.top1 == pytest.approx(0.91)


def test_a_stopped_run_is_marked_and_not_averaged_with_finished_ones() -> None:
    stopped = summary(top1=0.1, seed=1, stages_done=1)
    stopped = with_rows(stopped, *stopped.rows, replace(stopped.rows[0], name="FCPTS + BN"))
    lines = lines_of(o for one in (summary(), stopped) for o in outcomes(one, KNOWN))
    assert [line.method for line in lines] == [
        "FCPTS",
        "FCPTS (unfinished)",
        "FCPTS (unfinished) + BN",
    ]
    assert lines[0].top1 == 0.9


def test_settings_that_decide_a_run_are_told_apart() -> None:
    job = replace(summary().pinned.job, projections="separate")
    other = with_pins(summary(top1=0.8), job=job)
    lines = lines_of(o for one in (summary(), other) for o in outcomes(one, KNOWN))
    assert [line.method for line in lines] == ["FCPTS", "FCPTS #2"]


def test_one_seed_has_no_spread_and_unknown_dense_no_drop() -> None:
    (line,) = lines_of(outcomes(summary(), {}))
    assert line.spread is None
    assert line.drop is None
    header, rows = table_of([line])
    assert "drop" not in header  # there is nothing in that column
    assert all(len(row) == len(header) for row in rows)


def test_own_dense_row_takes_precedence() -> None:
    one = summary()
    one = with_rows(one, DENSE_ROW, *one.rows)
    assert outcomes(one, KNOWN)[0].dense == Scores(0.92, 1.0)


def test_new_statistics_are_a_line_of_their_own_without_the_papers_number() -> None:
    one = summary()
    one = with_rows(one, *one.rows, replace(one.rows[0], name="FCPTS + BN", top1=0.95))
    lines = lines_of(outcomes(one, KNOWN))
    assert [line.method for line in lines] == ["FCPTS", "FCPTS + BN"]
    assert lines[0].paper_top1 is not None
    assert lines[1].paper_top1 is None


def test_different_settings_are_never_averaged() -> None:
    one, two = summary(seed=0), with_pins(summary(seed=1), calibration=7)
    assert len(lines_of(o for s in (one, two) for o in outcomes(s, KNOWN))) == 2


def test_other_defaults_are_other_settings() -> None:
    """The job is the same but its resolved settings differ: a run of another version."""
    one, two = summary(seed=0), summary(seed=1, settings={"epochs": 12, "learn_rates": True})
    lines = lines_of(o for s in (one, two) for o in outcomes(s, KNOWN))
    assert [(line.method, line.seeds) for line in lines] == [("FCPTS", 1), ("FCPTS #2", 1)]
    assert lines[0].setup != lines[1].setup


def test_the_number_stands_before_the_mark_of_new_statistics() -> None:
    both = [summary(seed=0), with_pins(summary(seed=1, top1=0.5), calibration=7)]
    both = [with_rows(s, *s.rows, replace(s.rows[0], name="FCPTS + BN")) for s in both]
    lines = lines_of(o for s in both for o in outcomes(s, KNOWN))
    assert [line.method for line in lines] == ["FCPTS", "FCPTS + BN", "FCPTS #2", "FCPTS #2 + BN"]


def test_networks_of_one_architecture_are_told_apart() -> None:
    one, two, three = summary(), summary(top1=0.5, weights="folder/mine.h5"), summary(top1=0.4)
    two = with_pins(two, network_sha256="def")
    dense = {**KNOWN, ("cifar10", "def"): Scores(0.6, 0.9)}
    lines = lines_of(o for s in (one, two) for o in outcomes(s, dense))
    assert [text for text, _ in headed(lines)] == [
        "resnet32 w on cifar10, dense 93.00 %",
        "resnet32 mine on cifar10, dense 60.00 %",
    ]
    three = with_pins(three, network_sha256="0123456789")
    lines = lines_of(o for s in (one, three) for o in outcomes(s, dense))
    assert [line.network for line in lines] == ["resnet32 abc", "resnet32 01234567"]


def test_a_method_may_be_called_dense() -> None:
    one = summary(method="dense")
    one = with_rows(one, DENSE_ROW, *one.rows)
    (line,) = lines_of(outcomes(one, {}))
    assert (line.top1, line.dense) == (0.9, 0.92)


def test_lines_stand_by_network_and_rate() -> None:
    runs = [
        summary(rate=0.9),
        summary(rate=0.9, network="resnet56"),
        summary(rate=0.7),
        summary(rate=0.7, network="resnet56"),
    ]
    lines = lines_of(o for one in runs for o in outcomes(one, KNOWN))
    assert [(line.network, line.rate) for line in lines] == [
        ("resnet32", 0.7),
        ("resnet32", 0.9),
        ("resnet56", 0.7),
        ("resnet56", 0.9),
    ]
    assert [text for text, _ in headed(lines)] == [
        "resnet32 on cifar10, dense 93.00 %",
        "resnet56 on cifar10, dense 93.00 %",
    ]


def test_the_papers_table_is_consistent() -> None:
    """Every method, three rates, accuracy falling with the rate and below dense."""
    assert len(TABLE) == 12 + 20 + 6
    for (data, network, _), values in TABLE.items():
        top1 = [DENSE[data, network][0], *(value[0] for value in values)]
        assert top1 == sorted(top1, reverse=True)
        assert all(a < b for a, b in values)


def test_the_papers_number_belongs_to_the_papers_method_only() -> None:
    fcpts = {"learn_rates": True}
    assert paper_top1("cifar10", "resnet56", 0.8, "fcpts", fcpts) == (0.9367, pytest.approx(0.007))
    assert paper_top1("cifar10", "resnet56", 0.8, "fcpts", {"learn_rates": False}) is None
    pot = {"allocation": "l2norm"}
    assert paper_top1("cifar100", "resnet32", 0.9, "pot", pot) == (0.0301, pytest.approx(0.6715))
    dense, sparse = 0.7088, 0.6850
    assert paper_top1("imagenet", "resnet18", 0.7, "fcpts", fcpts) == (
        sparse,
        pytest.approx(dense - sparse),
    )
    assert paper_top1("imagenet", "vit_b_32", 0.8, "fcpts", fcpts) is None
    assert paper_top1("cifar10", "resnet20", 0.8, "fcpts", fcpts) is None
    assert paper_top1("cifar10", "resnet56", 0.85, "fcpts", fcpts) is None
    assert paper_top1("cifar10", "resnet56", 0.8, "one-shot", {"allocation": "erk"}) is None


def test_texts() -> None:
    assert [duration(s) for s in (0.4, 59.4, 61, 3599, 3600, 7325)] == [
        "0 s",
        "59 s",
        "1:01 min",
        "59:59 min",
        "1:00 h",
        "2:02 h",
    ]
    assert (number(None), number(math.nan), number(0.92345)) == ("", "", "92.34")
    assert len(HEADER) == 11


@pytest.mark.parametrize(
    ("method", "settings", "label"),
    [
        ("fcpts", {}, "FCPTS (extended)"),
        ("fcpts", {"profile": "paper"}, "FCPTS (paper)"),
        ("fcpts", {"learn_rates": False}, "FCPTS (extended, fixed)"),
        ("fcpts", {"profile": "paper", "control": "projection"}, "FCPTS (paper, projected)"),
        ("fcpts", {"control": "loss"}, "FCPTS (extended, by loss)"),
        ("fcpts", {"control": "projection"}, "FCPTS (extended)"),
        ("pot", {"allocation": "l2norm"}, "POT (L2Norm)"),
        ("one-shot", {}, "one-shot ERK"),
    ],
)
def test_labels(method: str, settings: dict[str, Any], label: str) -> None:
    assert make_method(method, **settings).label == label


def test_detectors_have_their_precision_in_the_place_of_top1() -> None:
    runs = [detector_summary(p, seed=s) for s, p in enumerate((0.5, 0.6))]
    (line,) = lines_of(o for one in runs for o in outcomes(one, KNOWN_DETECTOR))
    assert (line.measure, line.top1, line.dense) == ("mAP", None, None)
    assert (line.score, line.dense_score) == (pytest.approx(0.55), 0.7)
    assert line.drop == pytest.approx(0.15)
    assert line.spread == pytest.approx(math.sqrt(0.005))
    ((heading, own),) = headed([line])
    assert heading == "mobilenet_v2_ssd_lite on voc, dense mAP 70.00 %"
    header, (row,) = table_of(own)
    assert header == ("method", "rate", "n", "mAP", "drop", "time")
    assert row[3:5] == ("55.00 ±7.07", "15.00")


def test_detectors_without_annotations_or_dense_network() -> None:
    (line,) = lines_of(outcomes(detector_summary(), {}))
    assert (line.measure, line.score, line.drop) == ("mAP", 0.5, None)
    assert headed([line])[0][0] == "mobilenet_v2_ssd_lite on voc"
    (line,) = lines_of(outcomes(detector_summary(None), {}))
    assert (line.score, line.drop, table_of([line])[0]) == (
        None,
        None,
        ("method", "rate", "n", "time"),
    )
