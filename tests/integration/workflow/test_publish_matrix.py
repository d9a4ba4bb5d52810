"""
Publishing over real git, for every state that pull request, branch and base can be in.

Each row of a table states what was promised for it; the tests that follow every row make sure that
nothing of other people's was touched on the way.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from moonmind.domain.claims import ClaimedStage
from moonmind.domain.errors import StaleClaimError, WorkflowError
from moonmind.domain.ids import new_id
from moonmind.domain.markers import make_marker, render_marker
from moonmind.domain.orders import ApplyOrder, DiscoverOrder, PublishOrder
from moonmind.domain.outcomes import Done, Ended
from moonmind.domain.patch_policy import PatchPolicy
from moonmind.domain.ports import PullRequest, PullRequestDraft, PullRequestIntent, PullRequestState, PushIntent
from moonmind.domain.results import Applied, Discovered, Published, StoredArtifact, Submitted
from moonmind.domain.states import Stage
from moonmind.forges.local import LocalForge
from moonmind.stages.apply import apply
from moonmind.stages.discover import discover
from moonmind.stages.publish import publish
from moonmind.testing.agents import ScriptedAgent
from moonmind.testing.artifacts import InMemoryArtifactStore
from moonmind.testing.guards import InMemoryCredentials, InMemoryGuard
from moonmind.testing.unified_diffs import File, write_patch
from moonmind.workflows.speckit_celery.claim_artifacts import ClaimArtifacts
from moonmind.workspace.checkout import GitWorkspace
from tests.bare_repositories import BareRepo
from tests.repositories import TASKS

REPOSITORY = "octo/habits"
BRANCH = "moonmind/001-habits/phase-2-story"
NEXT = f"{BRANCH}-2"
TASKS_PATH = "specs/001-habits/tasks.md"
RUN_ID = UUID("01936f3c-0000-7000-8000-00000000002a")
FILES = {TASKS_PATH: TASKS, "greeting.txt": "good day\n"}


@dataclass
class Site:
    """A bare repository, its forge, a mirror, and a run that is ready to publish."""

    repository: BareRepo
    forge: LocalForge
    workspace: GitWorkspace
    store: InMemoryArtifactStore
    order: PublishOrder
    guard: InMemoryGuard = field(default_factory=InMemoryGuard)
    known: dict[str, frozenset[str]] = field(default_factory=dict)

    def publish(self, *, closings_answered: int = 0) -> str:
        """Deliver the stage once, and say in one word what came of it."""
        pushed = dict(self.known)
        for intent in self.guard.intents:
            if isinstance(intent, PushIntent):
                pushed[intent.branch] = pushed.get(intent.branch, frozenset()) | {intent.commit_sha}
        claimed = ClaimedStage(new_id(), RUN_ID, Stage.PUBLISH, 1, 1, token=len(self.store.paths))
        try:
            outcome = publish(
                replace(self.order, pushed=pushed, closings_answered=closings_answered),
                forge=self.forge,
                workspace=self.workspace,
                artifacts=ClaimArtifacts(self.store, claimed),
                credentials=InMemoryCredentials(forge="local"),
                guard=self.guard,
            )
        except WorkflowError as error:
            return str(error.code)
        if isinstance(outcome, Ended):
            return str(outcome.code or outcome.outcome)
        assert isinstance(outcome, Done)
        assert isinstance(outcome.result, Published)
        where = "_next" if outcome.result.branch == NEXT else ""
        return f"{outcome.result.outcome.value.removeprefix('pull_request_')}{where}"

    def crash_before_the_pull_request(self) -> None:
        """Push, and die before the pull request is opened."""
        self.guard.after(PullRequestIntent, self.guard.lose)
        with pytest.raises(StaleClaimError):
            self.publish()
        pushed = [intent for intent in self.guard.intents if isinstance(intent, PushIntent)]
        self.guard = InMemoryGuard()
        self.guard.intents.extend(pushed)

    def request(self, run: str | None) -> PullRequest:
        """Open a pull request of another run of ours, or of a person."""
        marker = make_marker(run=run or "", feature="specs/001-habits", phase="Phase 2: Story", base="main")
        draft = PullRequestDraft(BRANCH, "main", "Theirs", render_marker(marker) if run else "By hand.")
        return self.forge.open_pull_request(self.forge.describe(REPOSITORY), draft)

    def requests(self) -> dict[int, tuple[str, PullRequestState, str]]:
        """Return head, state and body of all pull requests."""
        return {found.number: (found.head, found.state, found.body) for found in self.forge.list(REPOSITORY)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, InMemoryArtifactStore, PublishOrder]:
    """Run the stages before publish once; each row begins with a copy of what they left."""
    folder = tmp_path_factory.mktemp("prepared")
    BareRepo(folder / "forge" / "octo" / "habits.git").commit("main", FILES)
    forge, workspace = LocalForge(folder / "forge", public_url="http://127.0.0.1:5000"), _workspace(folder)
    store = InMemoryArtifactStore(folder / "live")
    claimed = ClaimedStage(new_id(), RUN_ID, Stage.DISCOVER, 1, 1, token=1)
    artifacts = ClaimArtifacts(store, claimed)
    discovery = DiscoverOrder(RUN_ID, REPOSITORY, None, None, None, (), max_tasks=25)
    found = discover(discovery, forge=forge, workspace=workspace, artifacts=artifacts)
    assert isinstance(found, Done)
    assert isinstance(found.result, Discovered)
    submitted = _submitted(artifacts)
    applying = ApplyOrder(RUN_ID, found.result, submitted, submitted.patch, PatchPolicy())
    agent = ScriptedAgent(lambda _work: None)
    applied = apply(applying, agent=agent, forge=forge, workspace=workspace, artifacts=artifacts)
    assert isinstance(applied, Done)
    assert isinstance(applied.result, Applied)
    order = PublishOrder(
        run_id=RUN_ID,
        created_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
        requested_by="ada",
        notes=None,
        run_url=f"http://127.0.0.1:5000/runs/{RUN_ID}",
        discovered=found.result,
        submitted=submitted,
        applied=applied.result,
        pushed={},
        closings_answered=0,
        policy=PatchPolicy(),
    )
    return folder, store, order


@pytest.fixture
def site(prepared: tuple[Path, InMemoryArtifactStore, PublishOrder], tmp_path: Path) -> Site:
    """A run that is ready to publish, in folders of its own."""
    folder, store, order = prepared
    shutil.copytree(folder / "forge", tmp_path / "forge")
    forge = LocalForge(tmp_path / "forge", public_url="http://127.0.0.1:5000")
    repository = BareRepo(tmp_path / "forge" / "octo" / "habits.git")
    return Site(repository, forge, _workspace(tmp_path), store, order)


def _workspace(folder: Path) -> GitWorkspace:
    return GitWorkspace(folder / "workspaces", checks_objects=False)


def _submitted(artifacts: ClaimArtifacts) -> Submitted:
    before = {path: File(text.encode()) for path, text in FILES.items()}
    after = before | {
        "greeting.txt": File(b"hello\n"),
        TASKS_PATH: File(TASKS.replace("[ ] T002", "[x] T002").encode()),
    }
    patch: StoredArtifact = artifacts.put("codex_patch", "codex.patch", write_patch(before, after))
    prompt = artifacts.put("prompt", "prompt.md", b"Do it.")
    return Submitted("command", "1", "mm-1", prompt, exit_code=0, patch=patch)


# --- what people and other runs did meanwhile ---


def move_base(site: Site, how: str) -> None:
    """Let the base branch move on."""
    changes: Mapping[str, dict[str, str]] = {
        "elsewhere": {"README.md": "moved\n"},
        "same lines": {"greeting.txt": "good evening\n"},
        "other task ticked": {TASKS_PATH: TASKS.replace("[ ] T004", "[x] T004")},
        "submitted task ticked": {TASKS_PATH: TASKS.replace("[ ] T003", "[X] T003")},
    }
    if how in changes:
        site.repository.commit("main", changes[how])
    elif how == "tasks gone":
        lines = ["commit refs/heads/main", "committer A <a@example.invalid> 1700000001 +0000", "data 5", "Gone."]
        lines += [f"from {site.repository.tip('main')}", f"D {TASKS_PATH}", ""]
        site.repository.git("fast-import", "--quiet", stdin="\n".join(lines))
    else:
        assert how == "unmoved"


def foreign_commit(site: Site) -> None:
    site.repository.commit(BRANCH, {"theirs.txt": "theirs\n"})


def left_by_an_earlier_run(site: Site) -> None:
    sha = site.repository.commit(BRANCH, {"earlier.txt": "ours\n"})
    site.known[BRANCH] = frozenset({sha})


def own(state: str) -> Callable[[Site], None]:
    def arrange(site: Site) -> None:
        assert site.publish() == "created"
        if state != "open":
            site.forge.merge(REPOSITORY, 1) if state == "merged" else site.forge.close(REPOSITORY, 1)

    return arrange


def anothers(state: str) -> Callable[[Site], None]:
    def arrange(site: Site) -> None:
        left_by_an_earlier_run(site)
        site.request("another")
        if state != "open":
            site.forge.merge(REPOSITORY, 1) if state == "merged" else site.forge.close(REPOSITORY, 1)

    return arrange


def persons(site: Site) -> None:
    foreign_commit(site)
    site.request(None)


PULL_REQUESTS: Mapping[str, Callable[[Site], None]] = {
    "none": lambda _site: None,
    "own open": own("open"),
    "own merged": own("merged"),
    "own closed": own("closed"),
    "another's open": anothers("open"),
    "another's merged": anothers("merged"),
    "another's closed": anothers("closed"),
    "a person's": persons,
}
BRANCHES: Mapping[str, Callable[[Site], None]] = {
    "as it is": lambda _site: None,
    "deleted": lambda site: site.repository.delete(BRANCH),
    "foreign commit": foreign_commit,
    "our commit": Site.crash_before_the_pull_request,
    "an earlier run's": left_by_an_earlier_run,
}

ROWS = [
    # Nothing was published yet: only a ticked task on the base branch, or a foreign commit, stops the run.
    ("none", "as it is", "unmoved", "created"),
    ("none", "as it is", "elsewhere", "created"),
    ("none", "as it is", "same lines", "created"),
    ("none", "as it is", "other task ticked", "created"),
    ("none", "as it is", "submitted task ticked", "phase_already_landed"),
    ("none", "as it is", "tasks gone", "created"),
    ("none", "foreign commit", "unmoved", "branch_moved"),
    ("none", "foreign commit", "elsewhere", "branch_moved"),
    ("none", "foreign commit", "submitted task ticked", "phase_already_landed"),
    ("none", "an earlier run's", "unmoved", "created"),
    ("none", "an earlier run's", "same lines", "created"),
    ("none", "an earlier run's", "submitted task ticked", "phase_already_landed"),
    # A crash after the push: the branch gets its pull request, whatever the base branch did.
    ("none", "our commit", "unmoved", "created"),
    ("none", "our commit", "elsewhere", "created"),
    ("none", "our commit", "submitted task ticked", "created"),
    ("none", "our commit", "tasks gone", "created"),
    # The run has a pull request in review: it stays the only one.
    ("own open", "as it is", "unmoved", "updated"),
    ("own open", "as it is", "elsewhere", "updated"),
    ("own open", "as it is", "same lines", "updated"),
    ("own open", "as it is", "submitted task ticked", "updated"),
    ("own open", "as it is", "tasks gone", "updated"),
    ("own open", "deleted", "unmoved", "updated"),
    ("own open", "deleted", "submitted task ticked", "updated"),
    ("own open", "foreign commit", "unmoved", "branch_moved"),
    ("own open", "foreign commit", "elsewhere", "branch_moved"),
    # A person merged it: done, whatever happened to branch and base since.
    ("own merged", "as it is", "unmoved", "merged"),
    ("own merged", "as it is", "same lines", "merged"),
    ("own merged", "as it is", "tasks gone", "merged"),
    ("own merged", "deleted", "unmoved", "merged"),
    ("own merged", "foreign commit", "elsewhere", "merged"),
    # A person closed it: it stays closed.
    ("own closed", "as it is", "unmoved", "pull_request_closed"),
    ("own closed", "as it is", "submitted task ticked", "pull_request_closed"),
    ("own closed", "deleted", "unmoved", "pull_request_closed"),
    ("own closed", "foreign commit", "elsewhere", "pull_request_closed"),
    # Another run of ours has the phase, or had it and a person decided.
    ("another's open", "as it is", "unmoved", "phase_in_flight"),
    ("another's open", "as it is", "submitted task ticked", "phase_in_flight"),
    ("another's open", "deleted", "unmoved", "phase_in_flight"),
    ("another's open", "foreign commit", "elsewhere", "phase_in_flight"),
    ("another's merged", "as it is", "unmoved", "created_next"),
    ("another's merged", "deleted", "unmoved", "created_next"),
    ("another's merged", "as it is", "submitted task ticked", "phase_already_landed"),
    ("another's closed", "as it is", "unmoved", "created_next"),
    ("another's closed", "foreign commit", "same lines", "created_next"),
    ("another's closed", "as it is", "submitted task ticked", "phase_already_landed"),
    # A person took the branch for a pull request of their own: it is theirs.
    ("a person's", "as it is", "unmoved", "created_next"),
    ("a person's", "as it is", "elsewhere", "created_next"),
    ("a person's", "as it is", "submitted task ticked", "phase_already_landed"),
]


@pytest.mark.parametrize(("pull_request", "branch", "base", "promised"), ROWS)
def test_what_was_promised_comes_of_it(site: Site, pull_request: str, branch: str, base: str, promised: str) -> None:
    PULL_REQUESTS[pull_request](site)
    BRANCHES[branch](site)
    move_base(site, base)
    tip, before = site.repository.tip(BRANCH), site.requests()

    assert site.publish() == promised

    after = site.requests()
    assert {number: request[:2] for number, request in before.items()}.items() <= {
        number: request[:2] for number, request in after.items()
    }.items(), "a pull request that was there has another state now"
    assert len(after) - len(before) == promised.startswith("created")
    if promised in {"branch_moved", "phase_already_landed", "phase_in_flight", "pull_request_closed", "created_next"}:
        assert site.repository.tip(BRANCH) == tip, "a branch of others was pushed to"
        assert {number: after[number] for number in before} == before
    if promised in {"created", "updated", "created_next"}:
        where = NEXT if promised == "created_next" else BRANCH
        assert site.repository.show("greeting.txt", of=where) == "hello\n"
        again = "updated_next" if promised == "created_next" else "updated"
        assert (site.publish(), site.requests()) == (again, after)


@pytest.mark.parametrize(
    ("branch", "base", "promised"),
    [
        ("as it is", "unmoved", "created_next"),
        ("deleted", "elsewhere", "created_next"),
        ("foreign commit", "same lines", "created_next"),
        ("as it is", "submitted task ticked", "phase_already_landed"),
    ],
)
def test_an_operator_who_wants_a_closed_one_again_gets_the_next_branch(
    site: Site, branch: str, base: str, promised: str
) -> None:
    PULL_REQUESTS["own closed"](site)
    BRANCHES[branch](site)
    move_base(site, base)
    tip = site.repository.tip(BRANCH)
    assert site.publish(closings_answered=1) == promised
    assert site.repository.tip(BRANCH) == tip
    assert site.requests()[1][1] is PullRequestState.CLOSED


def test_the_commit_is_made_on_the_base_of_the_run_however_far_the_branch_went(site: Site) -> None:
    for number in range(3):
        site.repository.commit("main", {"README.md": f"{number}\n"})
    assert site.publish() == "created"
    parent = site.repository.git("rev-parse", f"{BRANCH}^").strip()
    assert parent == site.order.discovered.base_sha
    author = site.repository.git("log", "-1", "--format=%an %aI %cI", BRANCH).strip()
    assert author == "MoonMind 2026-03-01T12:00:00+00:00 2026-03-01T12:00:00+00:00"
