"""A branch's name follows from the work, is one that git accepts, and belongs to one phase alone."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind.domain.branches import branch_name


def name(
    title: str, *others: str, feature: str = "001-habits", base: str = "main", default: str = "main", suffix: int = 1
) -> str:
    return branch_name(
        feature, title, other_titles=others, base_branch=base, default_branch=default, suffix=suffix
    ).removeprefix("moonmind/")


def git_accepts(branch: str) -> bool:
    return (
        subprocess.run(["git", "check-ref-format", "--branch", branch], check=False, capture_output=True).returncode
        == 0
    )


class TestReadableNames:
    @pytest.mark.parametrize(
        ("title", "expected"),
        [
            ("Phase 3: User Story 1 \u2013 Trigger Next Spec Phase (Priority: P1) 🎯 MVP", "phase-3-user-story-1"),
            ("Phase 3: User Story 1 — Recent stops show names", "phase-3-user-story-1"),
            ("Phase 3 \u2013 User Story 1: Single backend (P1)", "phase-3-user-story-1-single-backend"),
            ("Phase 3.2: Tests First (TDD) ⚠️ MUST COMPLETE BEFORE 3.3", "phase-3.2-tests-first"),
            ("Phase 6: Polish & Cross\u2011Cutting Concerns", "phase-6-polish-cross-cutting-concerns"),
            ("🎯 Phase 1: Broad Indicators 🔄 IN PROGRESS (23/84 - 27%)", "phase-1-broad-indicators"),
            ("Phase 5: Réinitialisation de mot de passe", "phase-5-reinitialisation-de-mot-de-passe"),
            ("Phase 3: [Story US1-P1] 資料庫平滑遷移", "phase-3-story-us1-p1"),
            ("Phase 1: セットアップと検証", "phase-1"),
            ("Phase N: Polish", "phase-n-polish"),
            ("Setup (Shared Infrastructure)", "setup"),
        ],
    )
    def test_a_title_is_cut_to_what_tells_the_phase(self, title: str, expected: str) -> None:
        assert name(title) == f"001-habits/{expected}"

    @pytest.mark.parametrize("title", ["第3階段", "🎯", "3", "", "- - -"])
    def test_a_title_without_letters_is_named_by_its_hash(self, title: str) -> None:
        phase = name(title).removeprefix("001-habits/phase-")
        assert len(phase) == 8
        assert int(phase, 16) >= 0

    def test_a_word_about_progress_does_not_change_the_name(self) -> None:
        assert name("Phase 2: Storage") == name("Phase 2: Storage ✅ COMPLETE") == name("Phase 2: Storage (12/14)")

    def test_a_long_title_is_cut_between_words(self) -> None:
        assert name("Phase 4: " + "storage layer " * 20).endswith("/phase-4-storage-layer-storage-layer-storage")

    def test_a_later_branch_of_the_phase_gets_its_number(self) -> None:
        assert name("Phase 1: Setup", suffix=2) == "001-habits/phase-1-setup-2"

    @pytest.mark.parametrize("suffix", [0, -1, 10_000])
    def test_a_suffix_out_of_range_is_a_bug(self, suffix: int) -> None:
        with pytest.raises(ValueError, match="suffix"):
            name("Phase 1: Setup", suffix=suffix)


class TestDistinctNames:
    def test_titles_of_one_file_that_say_the_same_are_told_apart(self) -> None:
        titles = ["Phase 3: Backend - models", "Phase 3: Backend - routes"]
        assert name(titles[0], titles[1]) != name(titles[1], titles[0])
        assert name(titles[0], titles[1]).startswith("001-habits/phase-3-backend-")

    def test_the_second_branch_of_a_phase_is_not_the_first_of_another(self) -> None:
        assert name("Phase 2: Tests", "Phase 2: Tests 2", suffix=2) != name("Phase 2: Tests 2", "Phase 2: Tests")

    def test_a_base_branch_other_than_the_default_is_part_of_the_name(self) -> None:
        assert name("Phase 1: Setup", base="develop") == "001-habits@develop/phase-1-setup"
        assert name("Phase 1: Setup", base="master", default="master") == "001-habits/phase-1-setup"

    def test_base_branches_that_look_alike_are_told_apart(self) -> None:
        assert name("Phase 1", base="release/2") != name("Phase 1", base="release-2")

    def test_features_of_the_same_name_in_two_members_are_told_apart(self) -> None:
        assert name("Phase 1", feature="apps/web/specs/001-habits") != name(
            "Phase 1", feature="apps/api/specs/001-habits"
        )

    def test_the_folder_that_spec_kit_uses_is_left_out(self) -> None:
        assert name("Phase 1", feature="specs/001-habits") == name("Phase 1", feature="001-habits")

    @given(st.text(), st.text())
    def test_two_titles_of_one_file_never_share_a_branch(self, one: str, other: str) -> None:
        if one != other:
            assert name(one, other) != name(other, one)


REF_NAMES = st.one_of(
    st.text(max_size=300),
    st.text(alphabet=".-/@{}~^:?*[\\ lock", max_size=40),
    st.sampled_from(["a.lock", ".hidden", "a..b", "-x", "@", "x.lock.lock", "ü" * 200]),
)


@given(feature=REF_NAMES, title=REF_NAMES, base=REF_NAMES, suffix=st.integers(1, 9_999))
def test_git_accepts_every_name(feature: str, title: str, base: str, suffix: int) -> None:
    branch = branch_name(
        feature, title, other_titles=[title + "!"], base_branch=base, default_branch="main", suffix=suffix
    )
    assert git_accepts(branch)
    assert len(branch.encode()) <= 200
    assert branch == branch_name(
        feature, title, other_titles=[title + "!"], base_branch=base, default_branch="main", suffix=suffix
    )
