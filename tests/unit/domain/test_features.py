"""Which feature a run is about, from the paths of a commit and hostile pointers."""

import json
from collections.abc import Mapping, Sequence

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.features import Feature, resolve_feature

POINTER = ".specify/feature.json"
ONE = ["README.md", "specs/001-login/spec.md", "specs/001-login/plan.md", "specs/001-login/tasks.md"]
TWO = [*ONE, "specs/002-Search/spec.md", "specs/002-Search/tasks.md"]
MEMBERS = [
    *TWO,
    "apps/web/specs/001-login/tasks.md",
    "apps/web/specs/003-cart/tasks.md",
    ".specify/specs/004-audit/tasks.md",
    "specs/20260101-120000-import/tasks.md",
]


def resolve(files: Sequence[str], key: str | None = None, contents: Mapping[str, bytes] | None = None) -> Feature:
    return resolve_feature(files, feature_key=key, read=(contents or {}).get)


def failure(files: Sequence[str], key: str | None = None, contents: Mapping[str, bytes] | None = None) -> WorkflowError:
    with pytest.raises(WorkflowError) as caught:
        resolve(files, key, contents)
    return caught.value


def pointer(value: object) -> Mapping[str, bytes]:
    return {POINTER: json.dumps({"feature_directory": value}).encode()}


class TestKey:
    @pytest.mark.parametrize(
        ("key", "directory"),
        [
            ("specs/001-login", "specs/001-login"),
            ("./specs/001-login/", "specs/001-login"),
            ("specs/001-login/tasks.md", "specs/001-login"),
            ("SPECS\\001-LOGIN", "specs/001-login"),
            ("001-login", "specs/001-login"),
            (" 002-SEARCH ", "specs/002-Search"),
            ("2", "specs/002-Search"),
            ("002", "specs/002-Search"),
            ("search", "specs/002-Search"),
            ("apps/web/specs/001-login", "apps/web/specs/001-login"),
            ("apps/web/001-login", "apps/web/specs/001-login"),
            ("web/specs/003-cart", "apps/web/specs/003-cart"),
            ("cart", "apps/web/specs/003-cart"),
            ("004-audit", ".specify/specs/004-audit"),
            ("20260101-120000", "specs/20260101-120000-import"),
        ],
    )
    def test_may_be_a_path_a_name_a_number_or_a_slug(self, key: str, directory: str) -> None:
        assert resolve(MEMBERS, key).directory == directory

    def test_of_a_feature_finds_it_again(self) -> None:
        folders = {path.rpartition("/")[0] for path in MEMBERS if path.endswith("tasks.md")}
        features = [resolve(MEMBERS, folder) for folder in folders]
        assert {feature.directory for feature in features} == folders
        assert [resolve(MEMBERS, feature.key) for feature in features] == features

    def test_drops_the_folder_that_every_feature_lies_in(self) -> None:
        assert resolve(MEMBERS, "specs/001-login").key == "001-login"
        assert resolve(MEMBERS, "apps/web/specs/001-login").key == "apps/web/001-login"

    def test_that_fits_several_lists_them(self) -> None:
        error = failure(MEMBERS, "1")
        assert error.code is FailureCode.FEATURE_AMBIGUOUS
        assert error.facts["candidates"] == ["apps/web/specs/001-login", "specs/001-login"]
        assert "`apps/web/specs/001-login`" in error.detail

    @pytest.mark.parametrize(
        "key", ["009", "nothing", "../../etc", "specs", "/", "x" * 10_000, "specs/../specs/001-login"]
    )
    def test_that_fits_none_names_what_there_is(self, key: str) -> None:
        error = failure(TWO, key)
        assert error.code is FailureCode.FEATURE_NOT_FOUND
        assert "`specs/001-login`" in error.detail
        assert len(error.detail) < 500

    def test_may_name_a_folder_outside_specs(self) -> None:
        assert resolve([*ONE, "docs/shop/tasks.md"], "docs/shop").tasks_path == "docs/shop/tasks.md"

    @pytest.mark.parametrize("key", ["specs/003-new", "003-new", "3"])
    def test_of_a_feature_without_a_task_list_says_so(self, key: str) -> None:
        error = failure([*ONE, "specs/003-new/spec.md"], key)
        assert error.code is FailureCode.TASKS_FILE_MISSING
        assert "specs/003-new" in error.detail

    def test_wins_over_the_pointer(self) -> None:
        assert resolve([*TWO, POINTER], "002", pointer("specs/001-login")).key == "002-Search"


class TestPointer:
    def test_names_the_feature(self) -> None:
        assert resolve([*TWO, POINTER], None, pointer("specs/002-Search")).directory == "specs/002-Search"
        assert resolve([*TWO, POINTER], "  ", pointer("./specs/002-search/")).directory == "specs/002-Search"

    def test_of_a_member_counts_from_its_folder(self) -> None:
        files = [*MEMBERS, f"apps/web/{POINTER}"]
        contents = {f"apps/web/{POINTER}": b'{"feature_directory": "specs/003-cart"}'}
        assert resolve(files, None, contents).directory == "apps/web/specs/003-cart"

    def test_of_two_members_is_ambiguous_unless_the_root_has_one(self) -> None:
        files = [*MEMBERS, f"apps/web/{POINTER}", f"apps/api/{POINTER}"]
        contents = {
            f"apps/web/{POINTER}": b'{"feature_directory": "specs/003-cart"}',
            f"apps/api/{POINTER}": b'{"feature_directory": "specs/009-x"}',
        }
        assert failure(files, None, contents).code is FailureCode.FEATURE_AMBIGUOUS
        with_root = {**contents, **pointer("specs/001-login")}
        assert resolve([*files, POINTER], None, with_root).directory == "specs/001-login"

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\x00\xff",
            b"not json",
            b"[]",
            b'"specs/001-login"',
            b"null",
            b"{}",
            b'{"feature_directory": 7}',
            b'{"feature_directory": ["specs/001-login"]}',
            b'{"feature_directory": ""}',
            b'{"feature_directory": "../specs/001-login"}',
            b'{"feature_directory": "specs/../../etc"}',
            b'{"feature_directory": "/etc"}',
            b'{"feature_directory": "C:\\\\specs"}',
            b'{"feature_directory": "specs\\\\001-login"}',
            b'{"feature_directory": "specs/\\u0000001-login"}',
            b'{"feature_directory": "specs/404-gone"}',
            b'{"feature_directory": "."}',
            b"[" * 60_000,
            b"1" * 60_000,
            b'{"feature_directory": "' + b"x" * 100_000 + b'"}',
        ],
    )
    def test_is_never_trusted_and_never_passed_over(self, content: bytes) -> None:
        error = failure([*ONE, POINTER], None, {POINTER: content})
        assert error.code is FailureCode.FEATURE_NOT_FOUND
        assert POINTER in error.detail
        assert "`specs/001-login`" in error.detail
        assert len(error.detail) < 500


class TestNoHint:
    def test_takes_the_only_feature(self) -> None:
        assert resolve(ONE).directory == "specs/001-login"

    def test_lists_several(self) -> None:
        assert failure(TWO).code is FailureCode.FEATURE_AMBIGUOUS

    def test_counts_a_feature_whose_tasks_are_still_missing(self) -> None:
        assert failure([*ONE, "specs/002-new/spec.md"]).code is FailureCode.FEATURE_AMBIGUOUS

    def test_takes_a_folder_outside_specs_only_when_there_is_nothing_else(self) -> None:
        outside = ["docs/shop/spec.md", "docs/shop/tasks.md"]
        assert resolve(outside).directory == "docs/shop"
        assert resolve([*ONE, *outside]).directory == "specs/001-login"

    @pytest.mark.parametrize(
        "files", [[], ["README.md", "tasks.md"], ["openspec/specs/login/spec.md"], ["node_modules/a/specs/b/tasks.md"]]
    )
    def test_of_a_commit_without_features_says_so(self, files: list[str]) -> None:
        error = failure(files)
        assert error.code is FailureCode.FEATURE_NOT_FOUND
        assert "no feature folder" in error.detail


class TestDocuments:
    def test_are_those_that_exist_in_their_order(self) -> None:
        folder = "apps/web/specs/003-cart"
        files = [
            f"{folder}/contracts/z.yaml",
            f"{folder}/contracts/deep/a.yaml",
            f"{folder}/checklists/ux.md",
            f"{folder}/notes.md",
            f"{folder}/tasks.md",
            f"{folder}/data-model.md",
            f"{folder}/spec.md",
            f"{folder}/contracts-old/a.yaml",
            ".specify/memory/constitution.md",
        ]
        assert resolve(files, "3").documents == (
            f"{folder}/spec.md",
            f"{folder}/data-model.md",
            f"{folder}/contracts/deep/a.yaml",
            f"{folder}/contracts/z.yaml",
            f"{folder}/checklists/ux.md",
            ".specify/memory/constitution.md",
        )

    def test_of_a_member_have_its_own_constitution(self) -> None:
        own = "apps/web/.specify/memory/constitution.md"
        files = ["apps/web/specs/003-cart/tasks.md", ".specify/memory/constitution.md", own]
        assert resolve(files).documents == (own,)
