"""Turn stage results into JSON and back, and into the run's own columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, assert_never, cast

from pydantic import TypeAdapter

from api_service.db.models import SpecWorkflowRun
from moonmind.domain.outcomes import Done, Ended, Outcome, Parked
from moonmind.domain.results import (
    Applied,
    Discovered,
    Finalized,
    Published,
    StageResult,
    StoredArtifact,
    Submitted,
)
from moonmind.domain.states import Stage

_ADAPTERS: Mapping[Stage, TypeAdapter[Any]] = {
    Stage.DISCOVER: TypeAdapter(Discovered),
    Stage.SUBMIT: TypeAdapter(Submitted),
    Stage.APPLY: TypeAdapter(Applied),
    Stage.PUBLISH: TypeAdapter(Published),
    Stage.FINALIZE: TypeAdapter(Finalized),
}


def encode_result(stage: Stage, result: StageResult) -> dict[str, Any]:
    """Return a result as JSON values."""
    return cast("dict[str, Any]", _ADAPTERS[stage].dump_python(result, mode="json"))


def decode_result(stage: Stage, payload: Mapping[str, Any]) -> StageResult:
    """Return the result that `encode_result` was given; fields of newer versions are ignored."""
    return cast("StageResult", _ADAPTERS[stage].validate_python(payload))


def without_secrets(outcome: Outcome, redact: Callable[[str], str]) -> Outcome:
    """
    Return an outcome whose free words are redacted: an agent's last ones, and those of any failure.

    They go from here into rows, replies, events and the pull request. What stages read from the
    repository is left as it is, since it stands there for everybody.
    """
    match outcome:
        case Done(Submitted() as submitted):
            return Done(replace(submitted, last_message=redact(submitted.last_message)))
        case Ended():
            return replace(outcome, message=redact(outcome.message))
        case Parked():
            return replace(outcome, reason=redact(outcome.reason))
        case _:
            return outcome


def artifacts_of(result: object) -> tuple[StoredArtifact, ...]:
    """Return every stored artifact that a result refers to."""
    if isinstance(result, StoredArtifact):
        return (result,)
    if not is_dataclass(result):
        return ()
    return tuple(found for field in fields(result) for found in artifacts_of(getattr(result, field.name)))


def record_result(run: SpecWorkflowRun, result: StageResult) -> None:
    """Copy what operators look for into the run's columns; the feature is the caller's business."""
    match result:
        case Discovered():
            _record_discovered(run, result)
        case Submitted():
            run.codex_task_id = result.task_id
            run.codex_task_url = result.task_url
            run.usage = _usage(result)
        case Applied():
            pass
        case Published():
            run.branch_name = result.branch
            run.commit_sha = result.commit_sha
            run.pr_url = result.pull_request_url
            run.pr_number = result.pull_request_number
            run.outcome = result.outcome.value
        case Finalized():
            run.outcome = result.outcome.value
        case _:
            assert_never(result)


def forget_results(run: SpecWorkflowRun, stage: Stage) -> None:
    """Clear the columns that the stages from here on fill anew; the earlier attempt's rows keep what they held."""
    if stage in {Stage.DISCOVER, Stage.SUBMIT}:
        run.codex_task_id = run.codex_task_url = run.codex_logs_path = run.codex_patch_path = None
        run.usage = run.commit_sha = None
    if stage is Stage.DISCOVER:
        run.base_sha = run.branch_name = run.pr_url = run.pr_number = None
        run.phase_title = run.phase_line = None
        run.phase_task_ids = []


def record_paths(run: SpecWorkflowRun, artifacts: Sequence[StoredArtifact]) -> None:
    """Point the run to its newest log and patch, also those of a stage that failed."""
    for stored in artifacts:
        if stored.artifact_type == "codex_logs":
            run.codex_logs_path = stored.path
        if stored.artifact_type == "codex_patch":
            run.codex_patch_path = stored.path


def _record_discovered(run: SpecWorkflowRun, found: Discovered) -> None:
    run.feature_dir = found.feature_dir
    run.base_branch = found.base_branch
    run.base_sha = found.base_sha
    run.branch_name = found.branch
    run.phase_title = found.phase.title
    run.phase_line = found.phase.line
    run.phase_task_ids = [task.id or f"line {task.line}" for task in found.tasks]
    if found.snapshot:
        run.artifact_store_id = found.snapshot.store_id


def _usage(result: Submitted) -> dict[str, Any] | None:
    return (
        None
        if result.usage is None
        else {field.name: getattr(result.usage, field.name) for field in fields(result.usage)}
    )
