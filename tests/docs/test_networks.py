"""docs/networks.md describes the architectures and layouts of the registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fcpts_ref.architectures.registry import ARCHITECTURES, find_architecture
from fcpts_ref.cli.architectures import describe_architectures
from fcpts_ref.data.preprocessing import PRESETS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
ROWS = list(describe_architectures())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['name']}-{row['shortcut']}")
def test_the_table_of_sizes(row):
    option = f" (option {row['shortcut']})" if row["shortcut"] else ""
    shape = "×".join(map(str, row["input_shape"]))
    assert (
        f"| `{row['name']}`{option} | {shape} | {row['classes']} | {row['layers']} | "
        f"{row['weights']:,} | {row['parameters']:,} |\n"
    ) in PAGE


def test_no_other_sizes():
    assert len(re.findall(r"^\| `.*×\d+×", PAGE, re.MULTILINE)) == len(ROWS)


@pytest.mark.parametrize("name", [*ARCHITECTURES, "resnet20"])
def test_every_layout(name):
    """Its source, its normalisation and its preprocessing stand in one row."""
    rows = PAGE.split("| names of |")[1].splitlines()
    for layout in find_architecture(name).layouts:
        source = layout.source.removesuffix(", with fc")
        facts = {source, f"`{layout.normalise_for(10)}`", layout.preprocess or ""}
        facts |= {"BGR"} if layout.channel_order == "BGR" else set()
        assert any(all(fact in row for fact in facts) for row in rows), layout.source


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_preset_exists(name):
    for layout in ARCHITECTURES[name].layouts:
        assert layout.preprocess in (None, *PRESETS)
        if layout.preprocess is not None:
            assert PRESETS[layout.preprocess].crop == ARCHITECTURES[name].graph().input_shape[1]
