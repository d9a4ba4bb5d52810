"""The local forge on real git: where it looks, what it refuses, how it merges, and who may race."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import PullRequest, PullRequestDraft, PullRequestState
from moonmind.domain.states import AuditStatus
from moonmind.forges.local import LocalForge
from moonmind.forges.local_git import BareRepository, GitAnswer
from tests.bare_repositories import BareRepo

REPOSITORY = "acme/habits"
HEAD = "moonmind/001-habits/phase-1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "forge"


@pytest.fixture
def repository(root: Path) -> BareRepo:
    made = BareRepo(root / "Acme" / "Habits.git")
    made.commit("main", {"README.md": "one\ntwo\nthree\n"})
    return made


@pytest.fixture
def forge(root: Path, repository: BareRepo) -> LocalForge:
    return LocalForge(root, public_url="http://127.0.0.1:5000/")


def opened(forge: LocalForge, *, head: str = HEAD, title: str = "Phase 1") -> PullRequest:
    return forge.open_pull_request(forge.describe(REPOSITORY), PullRequestDraft(head, "main", title, "words"))


def refusal(forge: LocalForge, name: str) -> WorkflowError:
    with pytest.raises(WorkflowError) as caught:
        forge.describe(name)
    return caught.value


class TestFindingTheRepository:
    def test_is_named_by_its_folder_whatever_its_case(self, forge: LocalForge, repository: BareRepo) -> None:
        facts = forge.describe("ACME/habits")
        assert (facts.repository, facts.git_url) == (REPOSITORY, str(repository.path))
        assert forge.remote(facts, write=True).protocols == ("file",)

    def test_one_that_is_missing_says_where_it_looked_and_how_to_make_one(self, forge: LocalForge, root: Path) -> None:
        error = refusal(forge, "acme/other")
        assert error.code is FailureCode.REPOSITORY_NOT_FOUND
        assert f"git clone --bare /path/to/repository {root}/acme/other.git" in error.detail

    @pytest.mark.parametrize(
        "name",
        [
            "../habits", "acme/..", "acme/.", "./acme", "acme", "acme/", "/habits", "", "acme/a/b", "/etc/passwd",
            "--upload-pack=x/y", "acme/-x", "acme/ha bits", "acme/habits\n", "acme/ha\0bits", "acme/$(id)", ".git/x",
        ],
    )  # fmt: skip
    def test_a_name_that_leads_elsewhere_is_refused(self, forge: LocalForge, name: str) -> None:
        assert refusal(forge, name).code is FailureCode.REPOSITORY_NOT_FOUND

    def test_a_link_that_leaves_the_root_is_refused(self, forge: LocalForge, root: Path, tmp_path: Path) -> None:
        outside = BareRepo(tmp_path / "outside" / "secret.git")
        (root / "acme2").symlink_to(outside.path.parent)
        (root / "Acme" / "secret.git").symlink_to(outside.path)
        assert "leaves" in refusal(forge, "acme2/secret").detail
        assert "leaves" in refusal(forge, "acme/secret").detail

    def test_a_link_of_pull_requests_that_leaves_the_root_is_refused(
        self, forge: LocalForge, root: Path, tmp_path: Path
    ) -> None:
        (root / "Acme" / "Habits.pulls").symlink_to(tmp_path)
        assert "leaves" in refusal(forge, REPOSITORY).detail

    def test_a_link_within_the_root_is_followed(self, forge: LocalForge, root: Path, repository: BareRepo) -> None:
        (root / "Acme" / "alias.git").symlink_to(repository.path)
        assert forge.describe("acme/alias").default_branch == "main"

    def test_a_folder_that_is_no_bare_repository_is_none(self, forge: LocalForge, root: Path) -> None:
        (root / "Acme" / "empty.git").mkdir()
        assert "no bare repository" in refusal(forge, "acme/empty").detail

    def test_two_that_differ_in_case_alone_are_refused_unless_one_is_exact(self, forge: LocalForge, root: Path) -> None:
        BareRepo(root / "Acme" / "HABITS.git")
        assert "differ in case" in refusal(forge, REPOSITORY).detail
        exact = BareRepo(root / "Acme" / "habits.git")
        assert forge.describe(REPOSITORY).git_url == str(exact.path)

    def test_the_default_branch_is_the_one_of_head(self, forge: LocalForge, root: Path) -> None:
        BareRepo(root / "Acme" / "trunk.git", default_branch="release/2")
        assert forge.describe("acme/trunk").default_branch == "release/2"

    def test_a_head_without_a_branch_is_reported(self, forge: LocalForge, repository: BareRepo) -> None:
        tip = repository.tip("main")
        (repository.path / "HEAD").write_text(f"{tip}\n")
        assert refusal(forge, REPOSITORY).code is FailureCode.FORGE_UNAVAILABLE

    def test_an_address_in_the_browser_belongs_to_each_pull_request(
        self, forge: LocalForge, repository: BareRepo
    ) -> None:
        repository.commit(HEAD, {"a.txt": "a\n"})
        assert opened(forge).url == "http://127.0.0.1:5000/forge/acme/habits/pulls/1"


@contextmanager
def another_user() -> Iterator[None]:
    """Root may write anywhere, so tests about rights step down."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


class TestCheck:
    def test_a_missing_root_names_the_setting(self, root: Path) -> None:
        verdict = LocalForge(root / "missing", public_url="http://x.invalid").check()
        assert verdict.status is AuditStatus.FAILED
        assert "SPEC_WORKFLOW_LOCAL_FORGE_ROOT" in verdict.remedy
        assert f"mkdir -p {root}/missing" in verdict.remedy

    def test_a_root_that_cannot_be_written_names_the_setting(self) -> None:
        folder = Path(tempfile.mkdtemp())
        folder.chmod(0o555)
        try:
            with another_user():
                verdict = LocalForge(folder, public_url="http://x.invalid").check()
        finally:
            folder.chmod(0o700)
            folder.rmdir()
        assert verdict.status is AuditStatus.FAILED
        assert "SPEC_WORKFLOW_LOCAL_FORGE_ROOT" in verdict.remedy


class TestMerging:
    def test_base_gets_the_work_of_both_sides(self, forge: LocalForge, repository: BareRepo) -> None:
        head = repository.commit(HEAD, {"a.txt": "a\n"})
        number = opened(forge, title="Phase 1: Setup").number
        base = repository.commit("main", {"b.txt": "b\n"})
        forge.merge(REPOSITORY, number)
        assert (repository.show("a.txt"), repository.show("b.txt")) == ("a\n", "b\n")
        assert repository.git("log", "-1", "--format=%P|%s|%b", "main").strip() == (
            f"{base} {head}|Merge pull request #1 from {HEAD}|Phase 1: Setup"
        )

    def test_a_conflict_names_the_files_and_changes_nothing(self, forge: LocalForge, repository: BareRepo) -> None:
        repository.commit(HEAD, {"README.md": "one\nours\nthree\n"})
        number = opened(forge).number
        base = repository.commit("main", {"README.md": "one\ntheirs\nthree\n"})
        with pytest.raises(WorkflowError) as error:
            forge.merge(REPOSITORY, number)
        assert error.value.code is FailureCode.PULL_REQUEST_CONFLICT
        assert "README.md" in error.value.detail
        assert repository.tip("main") == base
        assert forge.read(REPOSITORY, number).state is PullRequestState.OPEN

    def test_a_crash_after_base_moved_leaves_a_merged_one(
        self, forge: LocalForge, repository: BareRepo, root: Path
    ) -> None:
        repository.commit(HEAD, {"a.txt": "a\n"})
        number = opened(forge).number
        stored = root / "Acme" / "Habits.pulls" / f"{number}.json"
        before = stored.read_bytes()
        forge.merge(REPOSITORY, number)
        stored.write_bytes(before)
        assert forge.read(REPOSITORY, number).state is PullRequestState.MERGED
        assert b"+++ b/a.txt" in forge.diff(REPOSITORY, number)

    def test_a_push_to_base_in_the_middle_of_a_merge_is_not_lost(
        self, forge: LocalForge, repository: BareRepo, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        repository.commit(HEAD, {"a.txt": "a\n"})
        number = opened(forge).number
        run = BareRepository.run
        pushes = iter(["pushed.txt"])

        def run_slowly(bare: BareRepository, *arguments: str, **options: Any) -> GitAnswer:
            if arguments[0] == "update-ref" and (name := next(pushes, None)):
                repository.commit("main", {name: "pushed\n"})
            return run(bare, *arguments, **options)

        monkeypatch.setattr(BareRepository, "run", run_slowly)
        forge.merge(REPOSITORY, number)
        assert (repository.show("a.txt"), repository.show("pushed.txt")) == ("a\n", "pushed\n")

    def test_neither_hooks_nor_the_host_take_part(
        self, forge: LocalForge, repository: BareRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hook = repository.path / "hooks" / "reference-transaction"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        hook.chmod(0o755)
        configuration = tmp_path / "gitconfig"
        configuration.write_text("[user]\nname = Somebody\nemail = somebody@example.invalid\n")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
        monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
        repository.commit(HEAD, {"a.txt": "a\n"})
        (tmp_path / "ran").unlink()
        forge.merge(REPOSITORY, opened(forge).number)
        assert repository.git("log", "-1", "--format=%an", "main").strip() == "MoonMind local forge"
        assert not (tmp_path / "ran").exists()


class TestDifference:
    def test_shows_what_head_changed_and_not_what_base_did(self, forge: LocalForge, repository: BareRepo) -> None:
        repository.commit(HEAD, {"ä b.txt": "a\n"})
        number = opened(forge).number
        repository.commit("main", {"b.txt": "b\n"})
        text = forge.diff(REPOSITORY, number).decode()
        assert "+++ b/ä b.txt" in text
        assert "b/b.txt" not in text

    @pytest.mark.parametrize("decision", ["merge", "close"])
    def test_stays_the_same_after_the_decision_and_the_branch_is_gone(
        self, forge: LocalForge, repository: BareRepo, decision: str
    ) -> None:
        repository.commit(HEAD, {"a.txt": "a\n"})
        number = opened(forge).number
        repository.commit("main", {"b.txt": "b\n"})
        before = forge.diff(REPOSITORY, number)
        {"merge": forge.merge, "close": forge.close}[decision](REPOSITORY, number)
        repository.delete(HEAD)
        repository.git("gc", "--quiet", "--prune=now")
        assert forge.diff(REPOSITORY, number) == before != b""

    def test_of_one_that_is_not_there_is_reported(self, forge: LocalForge) -> None:
        with pytest.raises(WorkflowError) as error:
            forge.diff(REPOSITORY, 1)
        assert error.value.code is FailureCode.PULL_REQUEST_NOT_FOUND


RACER = """
import sys
from pathlib import Path
from moonmind.domain.errors import WorkflowError
from moonmind.domain.ports import PullRequestDraft
from moonmind.forges.local import LocalForge
from moonmind.forges.local_git import BareRepository, GitAnswer

root, *heads = sys.argv[1:]
forge = LocalForge(Path(root), public_url="http://x.invalid")
facts = forge.describe("acme/habits")
sys.stdin.readline()
for head in heads:
    try:
        print(forge.open_pull_request(facts, PullRequestDraft(head, "main", head, "words")).number)
    except WorkflowError as error:
        print(error.code)
"""


class TestRacing:
    def test_processes_give_each_number_once_and_one_for_each_branch(
        self, forge: LocalForge, repository: BareRepo, root: Path
    ) -> None:
        heads = [f"phase-{number}" for number in range(4)]
        for head in heads:
            repository.commit(head, {f"{head}.txt": "a\n"})
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, str(root), *heads],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        for racer in racers:
            assert racer.stdin
            racer.stdin.write("go\n")
            racer.stdin.flush()
        answers = [line for racer in racers for line in racer.communicate(timeout=30)[0].split()]
        assert sorted(answer for answer in answers if answer.isdigit()) == ["1", "2", "3", "4"]
        assert answers.count("pull_request_refused") == 8
        assert sorted(one.head for one in forge.list(REPOSITORY)) == heads

    def test_merges_at_the_same_time_lose_nothing(self, forge: LocalForge, repository: BareRepo) -> None:
        numbers = []
        for count in range(4):
            repository.commit(f"phase-{count}", {f"{count}.txt": "a\n"})
            numbers.append(opened(forge, head=f"phase-{count}").number)
        with ThreadPoolExecutor(4) as pool:
            merged = list(pool.map(lambda number: forge.merge(REPOSITORY, number), numbers))
        assert {one.state for one in merged} == {PullRequestState.MERGED}
        assert [repository.show(f"{count}.txt") for count in range(4)] == ["a\n"] * 4

    def test_a_reader_never_sees_half_a_file(self, forge: LocalForge, repository: BareRepo, root: Path) -> None:
        repository.commit(HEAD, {"a.txt": "a\n"})
        one = opened(forge)
        facts = forge.describe(REPOSITORY)
        with ThreadPoolExecutor(2) as pool:
            writing = pool.submit(
                lambda: [
                    forge.update_pull_request(facts, one.number, PullRequestDraft(HEAD, "main", "t", "x" * size))
                    for size in (10, 60_000) * 10
                ]
            )
            while not writing.done():
                assert forge.read(REPOSITORY, one.number).title in {"Phase 1", "t"}
        assert writing.exception() is None


class TestDamage:
    def test_a_damaged_file_is_named(self, forge: LocalForge, repository: BareRepo, root: Path) -> None:
        repository.commit(HEAD, {"a.txt": "a\n"})
        opened(forge)
        (root / "Acme" / "Habits.pulls" / "1.json").write_text("{}")
        with pytest.raises(WorkflowError) as error:
            forge.list(REPOSITORY)
        assert error.value.code is FailureCode.FORGE_UNAVAILABLE
        assert "1.json" in error.value.detail

    def test_a_damaged_repository_is_not_taken_for_a_missing_branch(
        self, forge: LocalForge, repository: BareRepo
    ) -> None:
        repository.commit(HEAD, {"a.txt": "a\n"})
        facts = forge.describe(REPOSITORY)
        (repository.path / "config").write_text("[core\n")
        with pytest.raises(WorkflowError) as error:
            forge.open_pull_request(facts, PullRequestDraft(HEAD, "main", "t", "b"))
        assert error.value.code is FailureCode.FORGE_UNAVAILABLE

    def test_a_repository_that_vanishes_is_reported(self, forge: LocalForge, repository: BareRepo) -> None:
        facts = forge.describe(REPOSITORY)
        shutil.rmtree(repository.path)
        with pytest.raises(WorkflowError) as error:
            forge.pull_requests(facts, head=HEAD)
        assert error.value.code is FailureCode.REPOSITORY_NOT_FOUND
