"""Keep decisions indexed and complete, the changelog in its form, and the paths that documents name real."""

import re
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, read

DECISIONS = Path("docs/decisions")
PARTS_OF_A_DECISION = ["Context", "Decision", "Consequences", "Alternatives", "Where it is held"]
KINDS_OF_CHANGE = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
_PATH = re.compile(r"`((?:api_service|celery_worker|docs|moonmind|scripts|specs|tests|\.ci)/[\w./-]+)`")

decisions = sorted(path.relative_to(ROOT) for path in (ROOT / DECISIONS).glob("[0-9]*.md"))


@pytest.mark.parametrize("decision", decisions, ids=lambda path: path.stem)
class TestDecision:
    def test_is_in_the_index(self, decision: Path) -> None:
        assert f"]({decision.name})" in read(DECISIONS / "README.md")

    def test_has_all_its_parts_in_order(self, decision: Path) -> None:
        assert re.findall(r"^## (.+)$", read(decision), flags=re.MULTILINE) == PARTS_OF_A_DECISION

    def test_fits_on_a_page(self, decision: Path) -> None:
        assert len(read(decision).split()) <= 900


@pytest.mark.parametrize("document", [*decisions, Path("CONTRIBUTING.md")], ids=lambda path: path.stem)
def test_every_path_that_a_document_names_exists(document: Path) -> None:
    assert [name for name in _PATH.findall(read(document)) if not (ROOT / name).exists()] == []


class TestChangelog:
    def test_begins_with_what_is_not_released_yet(self) -> None:
        assert _headings("##")[0] == "[Unreleased]"

    def test_names_each_release_with_its_day(self) -> None:
        form = re.compile(r"\[\d+\.\d+\.\d+] - \d{4}-\d{2}-\d{2}")
        assert [heading for heading in _headings("##")[1:] if not form.fullmatch(heading)] == []

    def test_sorts_changes_by_their_kind(self) -> None:
        assert set(_headings("###")) - KINDS_OF_CHANGE == set()


def _headings(marks: str) -> list[str]:
    return re.findall(rf"^{marks} (.+)$", read(Path("CHANGELOG.md")), flags=re.MULTILINE)
