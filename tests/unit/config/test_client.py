"""Where the command finds its service, and what it thinks of the terminal."""

import io
import json
from pathlib import Path

import pytest

from moonmind.config.client import describe_terminal, find_server
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:5000", "newer": 1}))
    (tmp_path / "operator.token").write_text("mm_own_secret\n")
    return tmp_path


def _refusal(environment: dict[str, str]) -> WorkflowError:
    with pytest.raises(WorkflowError) as caught:
        find_server(environment)
    return caught.value


class TestEmbedded:
    def test_the_data_folder_tells_address_and_token(self, data: Path) -> None:
        server = find_server({"MOONMIND_DATA_DIR": str(data)})
        assert (server.url, server.token, server.is_this_machine) == ("http://127.0.0.1:5000", "mm_own_secret", True)

    def test_the_folder_is_var_unless_told(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        data.rename(data.parent / "var")
        monkeypatch.chdir(data.parent)
        assert find_server({}).token == "mm_own_secret"

    def test_a_given_token_goes_before_the_folders(self, data: Path) -> None:
        assert find_server({"MOONMIND_DATA_DIR": str(data), "MOONMIND_TOKEN": "mm_mine"}).token == "mm_mine"

    def test_without_a_service_the_remedy_names_both_ways(self, tmp_path: Path) -> None:
        error = _refusal({"MOONMIND_DATA_DIR": str(tmp_path)})
        assert error.code is FailureCode.SERVER_UNREACHABLE
        assert "server.json" in error.detail
        assert "moonmind up" in error.remedy
        assert "MOONMIND_URL" in error.remedy

    def test_without_a_token_file_it_says_which(self, data: Path) -> None:
        (data / "operator.token").unlink()
        error = _refusal({"MOONMIND_DATA_DIR": str(data)})
        assert error.code is FailureCode.AUTHENTICATION_REQUIRED
        assert "operator.token" in error.detail

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 5}', '{"url": ""}', "\xff"])
    def test_a_damaged_address_file_is_named(self, data: Path, content: str) -> None:
        (data / "server.json").write_text(content, encoding="latin-1")
        assert "server.json" in _refusal({"MOONMIND_DATA_DIR": str(data)}).detail

    @pytest.mark.parametrize("content", ["", "two words", "mm_\x1b[31m", "x" * 600])
    def test_a_damaged_token_file_is_named_and_not_quoted(self, data: Path, content: str) -> None:
        (data / "operator.token").write_text(content)
        error = _refusal({"MOONMIND_DATA_DIR": str(data)})
        assert error.code is FailureCode.SETTING_INVALID
        assert error.detail == f"{data / 'operator.token'} does not hold a token."


class TestGiven:
    def test_address_and_token_come_from_the_environment(self) -> None:
        server = find_server({"MOONMIND_URL": "https://moon.example.org/base/", "MOONMIND_TOKEN": "mm_a_b"})
        assert (server.url, server.token, server.is_this_machine) == ("https://moon.example.org/base", "mm_a_b", False)

    def test_the_token_may_be_in_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text("mm_file\n")
        assert find_server({"MOONMIND_URL": "https://x.org", "MOONMIND_TOKEN_FILE": str(file)}).token == "mm_file"

    @pytest.mark.parametrize(
        "extra",
        [
            {"MOONMIND_TOKEN": "a", "MOONMIND_TOKEN_FILE": "b"},
            {"MOONMIND_TOKEN_FILE": "/no/such/file"},
            {"MOONMIND_TOKEN_FILE": "/"},
            {"MOONMIND_TOKEN": "two words"},
        ],
    )
    def test_an_unusable_token_setting_is_named(self, extra: dict[str, str]) -> None:
        error = _refusal({"MOONMIND_URL": "https://x.org", **extra})
        assert error.code is FailureCode.SETTING_INVALID or "cannot be read" in error.detail

    def test_the_token_of_the_folder_goes_to_its_own_service_only(self, data: Path) -> None:
        error = _refusal({"MOONMIND_URL": "https://elsewhere.org", "MOONMIND_DATA_DIR": str(data)})
        assert error.code is FailureCode.AUTHENTICATION_REQUIRED
        own = find_server({"MOONMIND_URL": "http://127.0.0.1:5000/", "MOONMIND_DATA_DIR": str(data)})
        assert own.token == "mm_own_secret"

    @pytest.mark.parametrize(
        "url",
        [
            "moon.example.org",
            "ftp://x.org",
            "https://",
            "https://me:pw@x.org",
            "https://x.org?a=b",
            "https://x.org#top",
            "https://x.org:99999",
            "https://x.org/\x1b[31m",
            "https://[::1",
        ],
    )
    def test_an_address_that_is_none_is_refused_without_quoting_it(self, url: str) -> None:
        error = _refusal({"MOONMIND_URL": url, "MOONMIND_TOKEN": "mm_a"})
        assert error.code is FailureCode.SETTING_INVALID
        assert "MOONMIND_URL" in error.detail
        assert "pw" not in error.detail


class TestPlainHttp:
    @pytest.mark.parametrize("host", ["127.0.0.1:5000", "127.9.9.9", "localhost", "[::1]:80", "api.localhost"])
    def test_it_is_fine_on_this_machine(self, host: str) -> None:
        assert find_server({"MOONMIND_URL": f"http://{host}", "MOONMIND_TOKEN": "mm_a"}).is_this_machine

    @pytest.mark.parametrize("host", ["moon.example.org", "10.0.0.5", "0.0.0.0", "127.0.0.1.example.org"])
    def test_it_would_show_the_token_to_the_network(self, host: str) -> None:
        error = _refusal({"MOONMIND_URL": f"http://{host}", "MOONMIND_TOKEN": "mm_a"})
        assert error.code is FailureCode.SETTING_INVALID
        assert "https" in error.detail

    def test_it_can_be_allowed_where_the_network_is_ones_own(self) -> None:
        environment = {"MOONMIND_URL": "http://api:5000", "MOONMIND_TOKEN": "mm_a", "MOONMIND_ALLOW_PLAIN_HTTP": "true"}
        assert find_server(environment).url == "http://api:5000"


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestTerminal:
    def test_a_terminal_is_live_and_coloured(self) -> None:
        terminal = describe_terminal(_Screen(), {"TERM": "xterm"})
        assert (terminal.is_live, terminal.has_color, terminal.width) == (True, True, None)

    def test_a_pipe_is_neither(self) -> None:
        terminal = describe_terminal(io.StringIO(), {"TERM": "xterm"})
        assert (terminal.is_live, terminal.has_color) == (False, False)

    def test_no_color_keeps_it_live(self) -> None:
        terminal = describe_terminal(_Screen(), {"NO_COLOR": "1"})
        assert (terminal.is_live, terminal.has_color) == (True, False)

    @pytest.mark.parametrize("environment", [{"CI": "true"}, {"TERM": "dumb"}])
    def test_build_servers_and_dumb_terminals_get_lines(self, environment: dict[str, str]) -> None:
        assert not describe_terminal(_Screen(), environment).is_live

    @pytest.mark.parametrize(("columns", "width"), [("40", 40), ("", None), ("0", None), ("wide", None), ("-3", None)])
    def test_columns_set_the_width(self, columns: str, width: int | None) -> None:
        assert describe_terminal(_Screen(), {"COLUMNS": columns}).width == width
