"""Hold the frozen values that stages take and return; the database keeps them as JSON payloads."""

from dataclasses import dataclass

from moonmind.domain.states import RunOutcome


@dataclass(frozen=True)
class TaskRef:
    """One task of a phase; (id, line) identifies it, since ids may be missing or doubled."""

    line: int
    text: str
    id: str | None = None
    notes: tuple[str, ...] = ()
    """The lines below the task that belong to it: acceptance notes, sub-bullets."""


@dataclass(frozen=True)
class PhaseRef:
    """A phase, keyed by its heading line; the title is verbatim."""

    title: str
    line: int


@dataclass(frozen=True)
class StoredArtifact:
    """A file of the artifact store; `path` is relative to the store's root."""

    artifact_type: str
    name: str
    path: str
    content_type: str
    size_bytes: int
    sha256: str
    store_id: str


@dataclass(frozen=True)
class Discovered:
    """What discover found at the base commit."""

    repository: str
    feature_key: str
    feature_dir: str
    base_branch: str
    default_branch: str
    base_sha: str
    tasks_path: str
    tasks_sha256: str
    tasks_total: int
    tasks_done: int
    phase: PhaseRef
    tasks: tuple[TaskRef, ...]
    finished: tuple[TaskRef, ...]
    branch: str
    branch_suffix: int = 1
    """Above 1 where decided pull requests used up the names before."""
    documents: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    snapshot: StoredArtifact | None = None


@dataclass(frozen=True)
class TokenUsage:
    """Tokens that the agent reported; zero where it reports none."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0


@dataclass(frozen=True)
class Submitted:
    """What the agent took on; `patch` is there already when the agent ran here."""

    agent: str
    agent_version: str
    marker: str
    prompt: StoredArtifact
    task_id: str | None = None
    task_url: str | None = None
    exit_code: int | None = None
    last_message: str = ""
    failed_commands: int = 0
    usage: TokenUsage | None = None
    logs: StoredArtifact | None = None
    patch: StoredArtifact | None = None


@dataclass(frozen=True)
class FileChange:
    """
    One file of a patch; a binary file counts no lines.

    Modes are git's (`100644`, `120000` a link, `160000` a submodule, `000000` no file on that
    side), `status` is git's letter (A, M, D, T); policy is checked on them.
    """

    path: str
    insertions: int
    deletions: int
    binary: bool = False
    old_mode: str = ""
    new_mode: str = ""
    status: str = ""


@dataclass(frozen=True)
class Applied:
    """What the patch became on a clean tree at the base commit, tasks ticked."""

    patch: StoredArtifact
    final_patch: StoredArtifact
    tree_id: str
    files: tuple[FileChange, ...]
    insertions: int
    deletions: int
    ticked: tuple[TaskRef, ...]
    left_open: tuple[TaskRef, ...]
    unverified: bool
    """True when the agent reported nothing, so that all submitted tasks were ticked on trust."""
    warnings: tuple[str, ...] = ()
    """What the repository's policy file asked for in vain."""


@dataclass(frozen=True)
class Published:
    """What the forge has now."""

    branch: str
    commit_sha: str
    pull_request_number: int
    pull_request_url: str
    outcome: RunOutcome


@dataclass(frozen=True)
class Finalized:
    """The run is closed."""

    outcome: RunOutcome


StageResult = Discovered | Submitted | Applied | Published | Finalized
