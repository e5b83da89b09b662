"""The tables of docs/performance.md are those of the results beside it."""

from __future__ import annotations

import re

import pytest

from bench.document import PAGE, made_tables

TABLES = made_tables(PAGE.with_suffix(""))


@pytest.mark.parametrize("name", TABLES)
def test_table_is_that_of_the_results(name: str) -> None:
    assert f"<!-- table: {name} -->\n\n{TABLES[name]}\n" in PAGE.read_text(encoding="utf-8")


def test_there_are_no_others() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- table: (.*) -->", text)) == set(TABLES)
    assert len(re.findall(r"\n\n\|", text)) == len(TABLES)
