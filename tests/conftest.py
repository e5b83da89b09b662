"""Settings of the whole suite.

Environment: FCPTS_REF_TEST_SLOW=1 runs the slow tests, like ``--slow``;
FCPTS_REF_TEST_EXAMPLES=n is the number of examples of every property (25 unless said).
"""

from __future__ import annotations

import os

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "fcpts-ref",
    derandomize=True,  # the same examples on every machine
    deadline=None,  # a test is no stop watch
    max_examples=int(os.environ.get("FCPTS_REF_TEST_EXAMPLES", "25")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("fcpts-ref")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow") or os.environ.get("FCPTS_REF_TEST_SLOW") == "1":
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))
