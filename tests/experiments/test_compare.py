"""The grid of a comparison and the lines of its table."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fcpts_ref.errors import InputError
from fcpts_ref.experiments.compare import (
    HEADER,
    PRESETS,
    Cell,
    Grid,
    duration,
    flag_words,
    grid_of,
    headed,
    lines_of,
    number,
    outcomes,
    table_of,
)
from fcpts_ref.experiments.paper import DENSE, TABLE, paper_top1
from fcpts_ref.pruning.names import method_label
from fcpts_ref.pruning.registry import METHODS


def summary(
    method: str = "FCPTS", top1: float = 0.9, seed: int = 0, rate: float = 0.9, **more: Any
) -> dict[str, Any]:
    settings = {
        "weights": "w",
        "method": "fcpts",
        "method_settings": {},
        "resolved": {"epochs": 10, "learn_rates": True},
        "calibration": 100,
        "engine": "numpy",
        "target": rate,
        "seed": seed,
        "network_sha256": "abc",
    }
    row = {"name": method, "requested": rate, "achieved": rate, "top1": top1, "top5": 0.99}
    base: dict[str, Any] = {
        "settings": settings,
        "method": method,
        "data": "cifar10",
        "network": "resnet32",
        "rows": [row],
        "method_seconds": 61.0,
    }
    return base | more


KNOWN = {("cifar10", "abc"): (0.93, 0.999)}


def test_cells_are_the_product_of_the_grid() -> None:
    grid = grid_of(
        {
            "networks": ["a", "b.h5"],
            "methods": ["fcpts", "pot-erk"],
            "rates": [0.5],
            "seeds": [1, 2],
        }
    )
    assert [(c.network, c.method, c.rate, c.seed) for c in grid.cells] == [
        (network, method, 0.5, seed)
        for network in ("a", "b")
        for method in ("FCPTS", "POT (ERK)")
        for seed in (1, 2)
    ]
    assert len({cell.folder for cell in grid.cells}) == 8


def test_one_shot_needs_one_seed_only() -> None:
    grid = grid_of({"networks": ["a"], "methods": ["one-shot-lamp"], "rates": [0.5, 0.6]})
    assert [(cell.rate, cell.seed) for cell in grid.cells] == [(0.5, 0), (0.6, 0)]


def test_a_cell_is_a_command_line() -> None:
    flags = {"epochs": 5, "fixed-rates": True, "batch-norm": False, "choose": ["a=1", "b=2"]}
    assert flag_words(flags) == ["--epochs=5", "--fixed-rates", "--choose=a=1", "--choose=b=2"]
    cell = Cell("net", "my / method!", 0.75, 3, {"method": "pot"})
    assert cell.arguments == ["--method=pot", "--sparsity=0.75", "--seed=3", "--label=my / method!"]
    assert str(cell.folder) == "net/my-method/0.75/seed3"


@pytest.mark.parametrize("name", ["..", "...", "///", "ä"])
def test_names_cannot_leave_the_folder(name: str) -> None:
    assert ".." not in Cell(name, name, 0.5, 0, {}).folder.parts
    assert not Cell(name, name, 0.5, 0, {}).folder.is_absolute()
    assert len(Cell(name, name, 0.5, 0, {}).folder.parts) == 4


def test_tables_of_a_file() -> None:
    grid = grid_of(
        {
            "network": {"big": {"weights": "big.th", "arch": "resnet56"}},
            "method": {"long": {"preset": "fcpts-released", "epochs": 100}},
            "options": {"data": "cifar10"},
            "seeds": [0],
            "rates": [0.9],
        }
    )
    (cell,) = grid.cells
    assert cell.flags == {
        "data": "cifar10",
        "weights": "big.th",
        "arch": "resnet56",
        "profile": "released",
        "epochs": 100,
    }


def test_presets_are_methods() -> None:
    for flags in PRESETS.values():
        assert flags.get("method", "fcpts") in METHODS
    assert len({flags["label"] for flags in PRESETS.values()}) == len(PRESETS)


ONE = {"networks": ["a"], "methods": ["fcpts"]}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({**ONE, "sparsities": [0.9]}, "unknown key 'sparsities'"),
    "unknown method": ({**ONE, "methods": ["magic"]}, "unknown method 'magic'"),
    "unknown preset": ({**ONE, "method": {"m": {"preset": "magic"}}}, "unknown method 'magic'"),
    "no methods": ({"networks": ["a"]}, "no methods"),
    "no networks": ({"methods": ["fcpts"]}, "no networks"),
    "no rates": ({**ONE, "rates": []}, "no rates"),
    "rates that are texts": ({**ONE, "rates": ["0.9"]}, "expected a list"),
    "seeds that are numbers": ({**ONE, "seeds": 3}, "expected a list"),
    "seeds that are true": ({**ONE, "seeds": [True]}, "expected a list"),
    "a rate twice": ({**ONE, "rates": [0.5, 0.5]}, "one twice"),
    "a table that is none": ({**ONE, "method": {"m": 3}}, "should hold tables"),
    "options that are none": ({**ONE, "options": [1]}, "should be a table"),
    "a rate of 1": ({**ONE, "rates": [1.0]}, "target is 1.0"),
    "names alike": ({"networks": ["a b", "a-b"], "methods": ["fcpts"]}, "same name"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_bad_grids(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        grid_of(data)


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


def test_one_seed_has_no_spread_and_unknown_dense_no_drop() -> None:
    (line,) = lines_of(outcomes(summary(), {}))
    assert line.spread is None
    assert line.drop is None
    header, rows = table_of([line])
    assert "drop" not in header  # there is nothing in that column
    assert all(len(row) == len(header) for row in rows)


def test_own_dense_row_goes_before_the_list() -> None:
    dense = {"name": "dense", "requested": None, "achieved": 0.0, "top1": 0.92, "top5": 1.0}
    one = summary()
    one["rows"].insert(0, dense)
    assert outcomes(one, KNOWN)[0].dense == (0.92, 1.0)


def test_new_statistics_are_a_line_of_their_own_without_the_papers_number() -> None:
    one = summary()
    one["rows"].append({**one["rows"][0], "name": "FCPTS + BN", "top1": 0.95})
    lines = lines_of(outcomes(one, KNOWN))
    assert [line.method for line in lines] == ["FCPTS", "FCPTS + BN"]
    assert lines[0].paper_top1 is not None
    assert lines[1].paper_top1 is None


def test_different_settings_are_never_drawn_together() -> None:
    one, two = summary(seed=0), summary(seed=1)
    two["settings"] = {**two["settings"], "calibration": 7}
    assert len(lines_of(o for s in (one, two) for o in outcomes(s, KNOWN))) == 2


def test_other_defaults_are_other_settings() -> None:
    """What was said is the same, what it came to is not: another version's run."""
    one, two = summary(seed=0), summary(seed=1)
    two["settings"] = {**two["settings"], "resolved": {"epochs": 12, "learn_rates": True}}
    lines = lines_of(o for s in (one, two) for o in outcomes(s, KNOWN))
    assert [(line.method, line.seeds) for line in lines] == [("FCPTS", 1), ("FCPTS #2", 1)]
    assert lines[0].setup != lines[1].setup


def test_the_number_stands_before_the_mark_of_new_statistics() -> None:
    one, two = summary(seed=0), summary(seed=1, top1=0.5)
    two["settings"] = {**two["settings"], "calibration": 7}
    for run in (one, two):
        run["rows"].append({**run["rows"][0], "name": "FCPTS + BN"})
    lines = lines_of(o for s in (one, two) for o in outcomes(s, KNOWN))
    assert [line.method for line in lines] == ["FCPTS", "FCPTS + BN", "FCPTS #2", "FCPTS #2 + BN"]


def test_networks_of_one_architecture_are_told_apart() -> None:
    one, two, three = summary(), summary(top1=0.5), summary(top1=0.4)
    two["settings"] = {**two["settings"], "weights": "folder/mine.h5", "network_sha256": "def"}
    dense = {**KNOWN, ("cifar10", "def"): (0.6, 0.9)}
    lines = lines_of(o for s in (one, two) for o in outcomes(s, dense))
    assert [text for text, _ in headed(lines)] == [
        "resnet32 w on cifar10, dense 93.00 %",
        "resnet32 mine on cifar10, dense 60.00 %",
    ]
    three["settings"] = {**three["settings"], "network_sha256": "0123456789"}
    lines = lines_of(o for s in (one, three) for o in outcomes(s, dense))
    assert [line.network for line in lines] == ["resnet32 abc", "resnet32 01234567"]


def test_a_method_may_be_called_dense() -> None:
    dense = {"name": "dense", "requested": None, "achieved": 0.0, "top1": 0.92, "top5": 1.0}
    one = summary(method="dense")
    one["rows"].insert(0, dense)
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


@pytest.mark.parametrize("name", ["settings", "method", "rows", "data", "method_seconds"])
def test_a_summary_that_lacks_something(name: str) -> None:
    one = summary()
    del one[name]
    with pytest.raises(InputError, match="no summary of a run"):
        outcomes(one, KNOWN)


def test_the_papers_table_is_consistent() -> None:
    """Every method, three rates, accuracy falling with the rate and below dense."""
    assert len(TABLE) == 12
    for (data, network, _), values in TABLE.items():
        top1 = [DENSE[data, network][0], *(value[0] for value in values)]
        assert top1 == sorted(top1, reverse=True)
        assert all(a < b for a, b in values)


def test_the_papers_number_belongs_to_the_papers_method_only() -> None:
    fcpts = {"method": "fcpts", "method_settings": {}}
    assert paper_top1("cifar10", "resnet56", 0.8, fcpts) == (0.9367, pytest.approx(0.007))
    fixed = {"method": "fcpts", "method_settings": {"learn_rates": False}}
    assert paper_top1("cifar10", "resnet56", 0.8, fixed) is None
    pot = {"method": "pot", "method_settings": {"allocation": "l2norm"}}
    assert paper_top1("cifar100", "resnet32", 0.9, pot) == (0.0301, pytest.approx(0.6715))
    assert paper_top1("cifar10", "resnet20", 0.8, fcpts) is None
    assert paper_top1("cifar10", "resnet56", 0.85, fcpts) is None
    assert paper_top1("cifar10", "resnet56", 0.8, {"method": "one-shot"}) is None


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
    assert len(HEADER) == 8


def test_labels() -> None:
    assert method_label("fcpts", {}) == "FCPTS (extended)"
    assert method_label("fcpts", {"profile": "paper"}) == "FCPTS (paper)"
    assert method_label("fcpts", {"learn_rates": False}) == "FCPTS (extended, fixed)"
    projected = {"profile": "paper", "control": "projection"}
    assert method_label("fcpts", projected) == "FCPTS (paper, projected)"
    assert method_label("fcpts", {"control": "loss"}) == "FCPTS (extended, by loss)"
    assert method_label("fcpts", {"control": "projection"}) == "FCPTS (extended)"
    assert method_label("pot", {"allocation": "l2norm"}) == "POT (L2Norm)"
    assert method_label("one-shot", {}) == "one-shot ERK"


def test_a_grid_is_checked_when_made() -> None:
    with pytest.raises(InputError, match="no seeds"):
        Grid({"a": {}}, {"b": {}}, seeds=())
