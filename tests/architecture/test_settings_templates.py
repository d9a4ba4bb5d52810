"""Keep the templates for operators in step with the settings that exist."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import AliasChoices

from moonmind.config.settings import Settings
from tests.architecture.sources import read

_ASSIGNMENT = re.compile(r"^#? ?([A-Z][A-Z0-9_]+) ?=", flags=re.MULTILINE)


def _settings() -> set[str]:
    aliases = [field.validation_alias for field in Settings.model_fields.values()]
    return {str(alias.choices[0]) if isinstance(alias, AliasChoices) else str(alias) for alias in aliases}


@pytest.mark.parametrize("template", [".env-template", "config.toml"])
def test_a_template_shows_every_setting_and_no_other(template: str) -> None:
    assert set(_ASSIGNMENT.findall(read(Path(template)))) == _settings()


def test_the_template_for_a_model_of_ones_own_shows_only_settings_that_exist() -> None:
    assert set(_ASSIGNMENT.findall(read(Path(".env.vllm-template")))) - _settings() == set()


def test_config_toml_can_be_read_with_every_line_switched_on() -> None:
    switched_on = re.sub(r"^# ?(?=[A-Z][A-Z0-9_]+ ?=)", "", read(Path("config.toml")), flags=re.MULTILINE)
    tables = tomllib.loads(switched_on)
    assert {name for table in tables.values() for name in table} == _settings()
