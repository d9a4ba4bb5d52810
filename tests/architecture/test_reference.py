"""The reference names what there is: every setting, verb, route and exit code."""

import re
from pathlib import Path

from moonmind.cli.verbs import VERBS
from moonmind.config.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")


def test_every_setting_is_described() -> None:
    names = {str(field.validation_alias) for field in Settings.model_fields.values()}
    named = {name for alias in names for name in re.findall(r"[A-Z][A-Z_]{5,}", alias)}
    assert {name for name in named if f"`{name}`" not in TEXT} == set()


def test_every_verb_is_described() -> None:
    verbs = TEXT[: TEXT.index("## HTTP")]
    assert {verb for verb in VERBS if not re.search(rf"`{verb}\b", verbs)} == set()
