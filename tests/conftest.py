"""Settings of the whole suite.

Environment: FCPTS_REF_TEST_SLOW=1 runs the slow tests, like ``--slow``;
FCPTS_REF_TEST_EXAMPLES=n is the number of examples of every property (25 unless set).
"""

from __future__ import annotations

import os

import hypothesis
import pytest

PASSED = "fcpts-ref/passed"  # in pytest's cache: the tests that passed in the last run

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
    parser.addoption(
        "--remaining", action="store_true", help="leave out the tests that passed in the last run"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not (config.getoption("--slow") or os.environ.get("FCPTS_REF_TEST_SLOW") == "1"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))
    if config.getoption("--remaining"):
        _leave_out(config, items, _read_passed(config))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Record what passed; a run of the remaining tests adds to the record."""
    config = session.config
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not _has_cache(config):
        return
    passed = {report.nodeid for report in reporter.stats.get("passed", [])}
    if config.getoption("--remaining"):
        passed |= _read_passed(config)
    config.cache.set(PASSED, sorted(passed))


def _read_passed(config: pytest.Config) -> set[str]:
    if not _has_cache(config):
        raise pytest.UsageError("--remaining needs pytest's cache; omit -p no:cacheprovider")
    return set(config.cache.get(PASSED, ()))


def _has_cache(config: pytest.Config) -> bool:
    return hasattr(config, "cache")  # not with -p no:cacheprovider


def _leave_out(config: pytest.Config, items: list[pytest.Item], names: set[str]) -> None:
    left_out = [item for item in items if item.nodeid in names]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item.nodeid not in names]
