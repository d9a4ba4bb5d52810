"""Let no test be skipped unseen: with `--forbid-skips` a skip is a failure unless its reason is listed."""

from collections.abc import Generator
from pathlib import Path

import pytest
from pytest import CallInfo, Collector, CollectReport, Item, Parser, TestReport  # noqa: PT013 - types only

ALLOWED_REASONS = Path(__file__).with_name("skips.txt")


def pytest_addoption(parser: Parser) -> None:
    """Offer the gate that `.ci/run` closes."""
    parser.addoption(
        "--forbid-skips",
        action="store_true",
        help="a skipped test fails, unless its reason is a line of tests/skips.txt",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Item, call: CallInfo[None]) -> Generator[None, TestReport, TestReport]:
    """Turn a skip that nobody allowed into a failure."""
    report = yield
    _refuse_skip(item, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: Collector) -> Generator[None, CollectReport, CollectReport]:
    """Turn a skipped module that nobody allowed into an error."""
    report = yield
    _refuse_skip(collector, report)
    return report


def _refuse_skip(node: Item | Collector, report: TestReport | CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail") or not node.config.getoption("--forbid-skips"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if reason not in _allowed_reasons():
        report.outcome = "failed"
        report.longrepr = f"Skipped, and tests/skips.txt does not name the reason: {reason}"


def _allowed_reasons() -> list[str]:
    lines = ALLOWED_REASONS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
