"""RUN may be an id, the beginning of one, or `last`."""

import pytest

from moonmind.cli.client import ServiceClient
from moonmind.cli.exits import Exit
from moonmind.cli.naming import find_run
from moonmind.testing.api import InMemoryApi
from tests.unit.cli.conftest import Command

_FIRST = "0190aaaa-0001-7ccc-8ddd-eeeeeeeeeeee"
_SECOND = "0190aaaa-0002-7ccc-8ddd-eeeeeeeeeeee"
_THIRD = "0190bbbb-0003-7ccc-8ddd-eeeeeeeeeeee"


@pytest.fixture
def three_runs(api: InMemoryApi) -> None:
    for run_id in (_FIRST, _SECOND, _THIRD):
        api.add_run(id=run_id)


@pytest.mark.usefixtures("three_runs")
class TestFindRun:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            (_SECOND, _SECOND),
            (_SECOND.upper(), _SECOND),
            (_SECOND.replace("-", ""), _SECOND),
            ("0190bbbb", _THIRD),
            ("0190aaaa-0001", _FIRST),
            ("0190AAAA0001", _FIRST),
            ("0190b", _THIRD),
            ("last", _THIRD),
        ],
    )
    def test_a_name_that_fits_one_run_finds_it(self, client: ServiceClient, name: str, expected: str) -> None:
        assert find_run(client, name) == expected

    def test_a_beginning_of_several_names_them(self, moon: Command) -> None:
        result = moon("cancel", "0190aaaa")
        assert result.exit_code == Exit.USAGE
        assert _FIRST in result.stderr
        assert _SECOND in result.stderr

    @pytest.mark.parametrize("name", ["019", "----", "nope", "0190 aaaa", "../x", "\x1b[2J"])
    def test_what_cannot_be_an_id_is_wrong_usage(self, moon: Command, name: str) -> None:
        result = moon("show", name)
        assert result.exit_code == Exit.USAGE
        assert "\x1b" not in result.stderr

    def test_a_beginning_of_none_is_not_found(self, moon: Command) -> None:
        result = moon("show", "abcdef")
        assert result.exit_code == Exit.USAGE
        assert "workflow_not_found" in result.stderr


def test_a_beginning_is_found_on_a_later_page(client: ServiceClient, api: InMemoryApi) -> None:
    api.add_run(id=_FIRST)
    for number in range(230):
        api.add_run(id=f"0191{number:04x}-0000-7000-8000-000000000000")
    assert find_run(client, "0190") == _FIRST


def test_a_second_one_at_the_top_of_the_next_page_is_seen(moon: Command, api: InMemoryApi) -> None:
    api.add_run(id=_FIRST)
    api.add_run(id=_SECOND)
    for number in range(99):
        api.add_run(id=f"0191{number:04x}-0000-7000-8000-000000000000")
    result = moon("cancel", "0190aaaa")
    assert result.exit_code == Exit.USAGE
    assert _FIRST in result.stderr


def test_the_search_ends_where_no_more_can_fit(client: ServiceClient, api: InMemoryApi) -> None:
    for number in range(250):
        api.add_run(id=f"0191{number:04x}-0000-7000-8000-000000000000")
    assert find_run(client, "019100f9") == "019100f9-0000-7000-8000-000000000000"
    assert len(api.requests) == 1


def test_last_without_any_run_is_not_found(moon: Command) -> None:
    result = moon("show", "last")
    assert result.exit_code == Exit.USAGE
    assert "no run yet" in result.stderr
