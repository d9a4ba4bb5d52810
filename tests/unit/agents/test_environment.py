"""An agent sees what is listed of the worker's environment, and nothing else."""

from collections.abc import Mapping
from pathlib import Path

from moonmind.agents.environment import agent_environment


def environment_of(parent: Mapping[str, str], extra: Mapping[str, str] | None = None) -> Mapping[str, str]:
    return agent_environment(parent, home=Path("/ws/home"), temporary=Path("/ws/tmp"), extra=extra)


class TestAgentEnvironment:
    def test_is_complete_even_without_a_parent(self) -> None:
        environment = environment_of({})
        assert environment["PATH"]
        assert (environment["HOME"], environment["TMPDIR"]) == ("/ws/home", "/ws/tmp")
        assert (environment["LANG"], environment["LC_ALL"], environment["TERM"]) == ("C.UTF-8", "C.UTF-8", "dumb")

    def test_hands_on_nothing_that_is_not_listed(self) -> None:
        parent = {
            "PATH": "/bin",
            "DATABASE_URL": "secret",
            "OPENAI_API_KEY": "secret",
            "PYTHONPATH": "/x",
            "HOME": "/r",
        }
        assert set(environment_of(parent)) == {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TERM"}

    def test_keeps_language_time_zone_proxies_and_authorities(self) -> None:
        parent = {"LANG": "de_DE.UTF-8", "TZ": "Europe/Berlin", "https_proxy": "p", "CODEX_CA_CERTIFICATE": "ca.pem"}
        environment = environment_of(parent)
        assert parent.items() <= environment.items()
        assert environment["LC_ALL"] == "de_DE.UTF-8"

    def test_takes_what_one_kind_of_agent_needs(self) -> None:
        assert environment_of({}, {"CODEX_HOME": "/login"})["CODEX_HOME"] == "/login"
