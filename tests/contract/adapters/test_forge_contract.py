"""What every forge keeps to: the fake that other tests trust, and the local one on real git."""

from pathlib import Path
from typing import Protocol

import pytest

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Forge, PullRequest, PullRequestDraft, PullRequestState, RepositoryFacts
from moonmind.domain.states import AuditStatus
from moonmind.forges.local import LocalForge
from moonmind.testing.forges import InMemoryForge
from tests.bare_repositories import BareRepo

REPOSITORY = "acme/habits"
HEAD = "moonmind/001-habits/phase-1"


class House(Protocol):
    """A forge with one repository, and what people beside us do to it."""

    forge: Forge

    def push(self, branch: str, *, unrelated: bool = False) -> str: ...
    def point(self, branch: str, sha: str) -> None: ...
    def delete(self, branch: str) -> None: ...
    def merge(self, number: int) -> PullRequest: ...
    def close(self, number: int) -> PullRequest: ...


class MemoryHouse:
    def __init__(self) -> None:
        self.fake = InMemoryForge()
        self.fake.add_repository("Acme/Habits")
        self.forge: Forge = self.fake
        self._count = 0

    def push(self, branch: str, *, unrelated: bool = False) -> str:
        self._count += 1
        sha = f"{self._count:040x}"
        self.fake.push(REPOSITORY, branch, sha, unrelated=unrelated)
        return sha

    def point(self, branch: str, sha: str) -> None:
        self.fake.push(REPOSITORY, branch, sha)

    def delete(self, branch: str) -> None:
        self.fake.delete_branch(REPOSITORY, branch)

    def merge(self, number: int) -> PullRequest:
        return self.fake.merge(REPOSITORY, number)

    def close(self, number: int) -> PullRequest:
        return self.fake.close(REPOSITORY, number)


class LocalHouse:
    def __init__(self, root: Path) -> None:
        self.repository = BareRepo(root / "Acme" / "Habits.git")
        self.repository.commit("main", {"README.md": "habits\n"})
        self.local = LocalForge(root, public_url="http://127.0.0.1:5000/")
        self.forge: Forge = self.local
        self._count = 0

    def push(self, branch: str, *, unrelated: bool = False) -> str:
        self._count += 1
        return self.repository.commit(branch, {f"step{self._count}.txt": "step\n"}, unrelated=unrelated)

    def point(self, branch: str, sha: str) -> None:
        self.repository.point(branch, sha)

    def delete(self, branch: str) -> None:
        self.repository.delete(branch)

    def merge(self, number: int) -> PullRequest:
        return self.local.merge(REPOSITORY, number)

    def close(self, number: int) -> PullRequest:
        return self.local.close(REPOSITORY, number)


@pytest.fixture(params=["memory", "local"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    return MemoryHouse() if request.param == "memory" else LocalHouse(tmp_path / "forge")


@pytest.fixture
def forge(house: House) -> Forge:
    return house.forge


@pytest.fixture
def facts(forge: Forge) -> RepositoryFacts:
    return forge.describe(REPOSITORY)


def draft(
    *, head: str = HEAD, base: str = "main", title: str = "Phase 1", body: str = "words 🎯\n"
) -> PullRequestDraft:
    return PullRequestDraft(head, base, title, body)


def refused(forge: Forge, facts: RepositoryFacts, wanted: PullRequestDraft) -> str:
    with pytest.raises(WorkflowError) as caught:
        forge.open_pull_request(facts, wanted)
    assert caught.value.code is FailureCode.PULL_REQUEST_REFUSED
    return caught.value.detail


def code_of(error: pytest.ExceptionInfo[WorkflowError]) -> FailureCode:
    return error.value.code


class TestRepository:
    def test_is_described_under_its_lower_cased_name(self, facts: RepositoryFacts) -> None:
        assert (facts.repository, facts.default_branch, facts.archived) == (REPOSITORY, "main", False)

    @pytest.mark.parametrize("name", ["acme/other", "other/habits"])
    def test_that_is_not_there_is_reported(self, forge: Forge, name: str) -> None:
        with pytest.raises(WorkflowError) as error:
            forge.describe(name)
        assert code_of(error) is FailureCode.REPOSITORY_NOT_FOUND

    def test_has_a_remote_for_git(self, forge: Forge, facts: RepositoryFacts) -> None:
        remote = forge.remote(facts, write=False)
        assert (remote.repository, remote.url, remote.protocols) == (REPOSITORY, facts.git_url, ("file",))

    def test_passes_its_check(self, forge: Forge) -> None:
        verdict = forge.check()
        assert (verdict.subject, verdict.status) == (forge.name, AuditStatus.PASSED)


class TestOpening:
    def test_gives_an_open_one_with_its_own_number(self, house: House, forge: Forge, facts: RepositoryFacts) -> None:
        sha = house.push(HEAD)
        opened = forge.open_pull_request(facts, draft())
        assert (opened.number, opened.state, opened.head_sha) == (1, PullRequestState.OPEN, sha)
        assert (opened.head, opened.base, opened.title, opened.body) == (HEAD, "main", "Phase 1", "words 🎯\n")
        assert opened.url.startswith("http")
        assert forge.pull_requests(facts, head=HEAD) == [opened]

    def test_a_second_one_of_head_and_base_is_refused(self, house: House, forge: Forge, facts: RepositoryFacts) -> None:
        house.push(HEAD)
        forge.open_pull_request(facts, draft())
        assert refused(forge, facts, draft(title="again")) == f"A pull request already exists for acme:{HEAD}."
        assert len(forge.pull_requests(facts, head=HEAD)) == 1

    def test_the_same_head_may_go_to_another_base(self, house: House, forge: Forge, facts: RepositoryFacts) -> None:
        house.push("develop")
        house.push(HEAD)
        forge.open_pull_request(facts, draft())
        second = forge.open_pull_request(facts, draft(base="develop"))
        assert second.number == 2

    @pytest.mark.parametrize("name", ["not-there", "", "-x", "a..b", "main^{}", "*", "a\0b"])
    def test_a_branch_that_is_not_there_is_refused(
        self, house: House, forge: Forge, facts: RepositoryFacts, name: str
    ) -> None:
        house.push(HEAD)
        assert "is not there" in refused(forge, facts, draft(head=name))
        assert "is not there" in refused(forge, facts, draft(base=name))

    def test_a_branch_without_a_commit_of_its_own_is_refused(
        self, house: House, forge: Forge, facts: RepositoryFacts
    ) -> None:
        sha = house.push("main")
        house.point(HEAD, sha)
        house.push("main")
        assert refused(forge, facts, draft()) == f"No commits between main and {HEAD}."
        assert "No commits between" in refused(forge, facts, draft(head="main"))

    def test_an_unrelated_branch_is_refused(self, house: House, forge: Forge, facts: RepositoryFacts) -> None:
        house.push(HEAD, unrelated=True)
        assert "has no history in common" in refused(forge, facts, draft())

    @pytest.mark.parametrize("wanted", [draft(title=" "), draft(title="x" * 257), draft(body="x" * 65_537)])
    def test_a_text_of_the_wrong_size_is_refused(
        self, house: House, forge: Forge, facts: RepositoryFacts, wanted: PullRequestDraft
    ) -> None:
        house.push(HEAD)
        refused(forge, facts, wanted)
        assert forge.pull_requests(facts, head=HEAD) == []

    def test_a_text_of_the_largest_size_is_taken_whole(
        self, house: House, forge: Forge, facts: RepositoryFacts
    ) -> None:
        house.push(HEAD)
        wanted = draft(title="t" * 256, body="🎯" * 65_536)
        assert forge.open_pull_request(facts, wanted).body == wanted.body


class TestLooking:
    def test_finds_those_of_one_branch_in_all_states_newest_first(
        self, house: House, forge: Forge, facts: RepositoryFacts
    ) -> None:
        house.push(HEAD)
        house.push("other")
        forge.open_pull_request(facts, draft(head="other"))
        forge.open_pull_request(facts, draft())
        house.close(2)
        forge.open_pull_request(facts, draft())
        found = [(one.number, one.state) for one in forge.pull_requests(facts, head=HEAD)]
        assert found == [(3, PullRequestState.OPEN), (2, PullRequestState.CLOSED)]

    def test_an_open_one_follows_its_branch(self, house: House, forge: Forge, facts: RepositoryFacts) -> None:
        house.push(HEAD)
        forge.open_pull_request(facts, draft())
        sha = house.push(HEAD)
        assert forge.pull_requests(facts, head=HEAD)[0].head_sha == sha

    def test_a_closed_one_stays_where_it_was(self, house: House, forge: Forge, facts: RepositoryFacts) -> None:
        sha = house.push(HEAD)
        forge.open_pull_request(facts, draft())
        house.close(1)
        house.push(HEAD)
        assert forge.pull_requests(facts, head=HEAD)[0].head_sha == sha

    def test_one_whose_branch_is_gone_keeps_its_commit(
        self, house: House, forge: Forge, facts: RepositoryFacts
    ) -> None:
        sha = house.push(HEAD)
        forge.open_pull_request(facts, draft())
        house.delete(HEAD)
        found = forge.pull_requests(facts, head=HEAD)[0]
        assert (found.state, found.head_sha) == (PullRequestState.OPEN, sha)

    def test_one_whose_branch_was_merged_by_hand_is_merged(
        self, house: House, forge: Forge, facts: RepositoryFacts
    ) -> None:
        house.push(HEAD)
        forge.open_pull_request(facts, draft())
        house.point("main", house.push(HEAD))
        assert forge.pull_requests(facts, head=HEAD)[0].state is PullRequestState.MERGED

    def test_one_whose_branch_was_reset_to_base_is_not_merged(
        self, house: House, forge: Forge, facts: RepositoryFacts
    ) -> None:
        base = house.push("main")
        house.push(HEAD)
        forge.open_pull_request(facts, draft())
        house.point(HEAD, base)
        house.push("main")
        assert forge.pull_requests(facts, head=HEAD)[0].state is PullRequestState.OPEN


class TestUpdating:
    def test_sets_title_and_body_and_may_be_repeated(self, house: House, forge: Forge, facts: RepositoryFacts) -> None:
        house.push(HEAD)
        opened = forge.open_pull_request(facts, draft())
        wanted = draft(title="new", body="new words")
        once = forge.update_pull_request(facts, opened.number, wanted)
        again = forge.update_pull_request(facts, opened.number, wanted)
        assert once == again == forge.pull_requests(facts, head=HEAD)[0]
        assert (once.title, once.body, once.head_sha) == ("new", "new words", opened.head_sha)

    def test_one_that_is_not_there_is_reported(self, forge: Forge, facts: RepositoryFacts) -> None:
        with pytest.raises(WorkflowError) as error:
            forge.update_pull_request(facts, 7, draft())
        assert code_of(error) is FailureCode.PULL_REQUEST_NOT_FOUND


class TestDeciding:
    def test_a_merged_one_is_merged_and_its_work_is_in_base(
        self, house: House, forge: Forge, facts: RepositoryFacts
    ) -> None:
        house.push(HEAD)
        forge.open_pull_request(facts, draft())
        assert house.merge(1).state is PullRequestState.MERGED
        assert forge.pull_requests(facts, head=HEAD)[0].state is PullRequestState.MERGED
        assert "No commits between" in refused(forge, facts, draft())

    def test_new_work_on_a_merged_branch_may_be_opened_again(
        self, house: House, forge: Forge, facts: RepositoryFacts
    ) -> None:
        house.push(HEAD)
        forge.open_pull_request(facts, draft())
        house.merge(1)
        house.push(HEAD)
        assert forge.open_pull_request(facts, draft()).number == 2

    @pytest.mark.parametrize("first", ["merge", "close"])
    @pytest.mark.parametrize("second", ["merge", "close"])
    def test_a_decision_stands(
        self, house: House, forge: Forge, facts: RepositoryFacts, first: str, second: str
    ) -> None:
        house.push(HEAD)
        forge.open_pull_request(facts, draft())
        decide = {"merge": house.merge, "close": house.close}
        decided = decide[first](1)
        with pytest.raises(WorkflowError) as error:
            decide[second](1)
        assert code_of(error) is FailureCode.PULL_REQUEST_NOT_OPEN
        assert forge.pull_requests(facts, head=HEAD) == [decided]
