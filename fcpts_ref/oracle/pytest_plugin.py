"""``pytest --fcpts-adapter=my_module``: run the conformance vectors in your own test suite.

Without the option nothing is imported or collected.  With it every case becomes a test:
unsupported operations are skipped, or fail with ``--fcpts-complete``, and a run that executes no
case fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

PREFIX = "fcpts::"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all empty by default."""
    group = parser.getgroup("fcpts", "conformance with the FCPTS reference")
    group.addoption("--fcpts-adapter", metavar="MODULE", help="Python module or .py file to check")
    group.addoption(
        "--fcpts-command", metavar="PROGRAM", help="program to check, which reads and writes JSON"
    )
    for name, purpose in (("only", "cases to run"), ("skip", "cases to leave out")):
        group.addoption(
            f"--fcpts-{name}",
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"{purpose}: id, group, operation or flag, like 'eq08*'",
        )
    group.addoption("--fcpts-complete", action="store_true", help="let missing operations fail")
    group.addoption(
        "--fcpts-precision",
        choices=("float64", "float32"),
        default="float64",
        help="precision of the implementation (default: float64)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Switch the plugin on if an implementation is named."""
    if config.getoption("--fcpts-adapter") or config.getoption("--fcpts-command"):
        config.pluginmanager.register(VectorPlugin(config), "fcpts-vectors")


class VectorPlugin:
    """Add one test per case and check that at least one is executed."""

    def __init__(self, config: pytest.Config) -> None:
        from fcpts_ref.errors import InputError
        from fcpts_ref.oracle.adapters import CommandAdapter, load_python_adapter
        from fcpts_ref.oracle.vectors import load_cases, select_cases

        self.executed = 0
        self.precision = config.getoption("--fcpts-precision")
        self.complete = config.getoption("--fcpts-complete")
        command = config.getoption("--fcpts-command")
        try:
            self.adapter: Any = (
                CommandAdapter(command)
                if command
                else load_python_adapter(config.getoption("--fcpts-adapter"))
            )
            self.cases, self.skipped = select_cases(
                load_cases(), config.getoption("--fcpts-only"), config.getoption("--fcpts-skip")
            )
        except InputError as error:
            raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Append the cases before pytest applies ``-k`` and similar options."""
        items += [
            VectorItem.from_parent(session, name=f"{PREFIX}{case.id}", plugin=self, case=case)
            for case in self.cases
        ]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the executed cases."""
        if PREFIX in report.nodeid and report.when == "call" and report.outcome != "skipped":
            self.executed += 1

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        """Fail the run if no case was executed."""
        # In a worker of pytest-xdist the main process decides.
        is_worker = hasattr(session.config, "workerinput")
        if not self.executed and not is_worker and not session.config.option.collectonly:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (yield)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print how many cases were executed."""
        from fcpts_ref.errors import counted

        text = f"fcpts: {self.executed} of {counted(len(self.cases), 'case')} executed"
        terminalreporter.write_line(text if self.executed else f"{text}, which is a failure")


class VectorItem(pytest.Item):
    """One case as a test."""

    def __init__(self, *, plugin: VectorPlugin, case: Any, **details: Any) -> None:
        super().__init__(**details)
        self._plugin = plugin
        self._case = case

    def runtest(self) -> None:
        """Pass, skip if unsupported, or fail with the checker's report."""
        from fcpts_ref.oracle.check import Report, check_case
        from fcpts_ref.oracle.report import format_failure

        plugin = self._plugin
        result = check_case(
            plugin.adapter, self._case, precision=plugin.precision, complete=plugin.complete
        )
        if result.status == "unsupported":
            pytest.skip(result.message)
        if result.status != "pass":
            report = Report(plugin.adapter.name, plugin.adapter.argument, plugin.precision, ())
            raise VectorFailure("\n".join(format_failure(report, result)))

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Return the report alone: a traceback through the checker does not help."""
        if isinstance(excinfo.value, VectorFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return the location of the test that pytest shows."""
        return self.path, None, self.name


class VectorFailure(AssertionError):
    """A case that failed, with the checker's report as its message."""
