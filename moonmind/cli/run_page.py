"""Lay out one run for people: its facts, its stages, and why it failed."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from moonmind.cli.screen import status_text
from moonmind.cli.times import duration_text, time_text
from moonmind.cli.views import FailureView, RunView, StageView
from moonmind.domain.states import StageStatus

_SHA_LETTERS = 12


def run_page(run: RunView, *, now: datetime, narrow: bool) -> RenderableType:
    """Return everything worth reading about a run; the remedy of its failure is the next step below the page."""
    parts: list[RenderableType] = [facts_grid(_facts(run, now)), Text(), stages_table(run, now=now, narrow=narrow)]
    if run.failure:
        parts += [Text(), facts_grid(_failure_facts(run.failure))]
    return Group(*parts)


def facts_grid(facts: Iterator[tuple[str, str | Text]]) -> Table:
    """Return names and values in two columns; facts without a value are left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        if value:
            grid.add_row(name, value)
    return grid


def stages_table(run: RunView, *, now: datetime, narrow: bool, one_line: bool = False) -> RenderableType:
    """Return the stages with status, duration and message; a narrow page has the messages below."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(no_wrap=True)
    if not narrow:
        table.add_column(no_wrap=one_line, overflow="ellipsis" if one_line else "fold")
    for stage in run.stages:
        row = [Text(stage.name), _stage_status(stage, now), Text(_duration(stage, now))]
        table.add_row(*row, *([] if narrow else [Text(stage.message, style="dim")]))
    said = [stage for stage in run.stages if stage.message and stage.status not in {"", StageStatus.SUCCEEDED}]
    if not narrow or not said:
        return table
    return Group(table, *(Text(f"{stage.name}: {stage.message}", style="dim") for stage in said))


def result_facts(run: RunView, now: datetime) -> Iterator[tuple[str, str | Text]]:
    """Say how a run ended and what it left behind."""
    took = run.took(now)
    outcome = f" ({run.outcome})" if run.outcome else ""
    duration = f" in {duration_text(took)}" if took is not None and not run.is_active else ""
    yield "result", status_text(run.status, f"{run.status}{outcome}{duration}")
    yield "pull request", f"#{run.pr_number}  {run.pr_url}" if run.pr_number and run.pr_url else run.pr_url
    yield "branch", run.branch
    yield "commit", run.commit_sha[:_SHA_LETTERS]
    yield "tokens", tokens_text(run)
    if run.failure:
        yield from _failure_facts(run.failure)


def tokens_text(run: RunView) -> str:
    """Return the tokens that the agent reported, nothing where it reported none."""
    if not run.input_tokens and not run.output_tokens:
        return ""
    return f"{run.input_tokens:,} in, {run.output_tokens:,} out"


def headlines(run: RunView) -> list[str]:
    """Name a run and its phase."""
    named = "  ".join(filter(None, [run.short_id, run.repository, run.feature]))
    return [named, run.phase_title] if run.phase_title else [named]


def _facts(run: RunView, now: datetime) -> Iterator[tuple[str, str | Text]]:
    took = run.took(now)
    yield "run", run.id
    yield "repository", run.repository
    yield "feature", run.feature
    yield "phase", run.phase_title
    yield "tasks", ", ".join(run.task_ids)
    yield "base", " at ".join(filter(None, [run.base_branch, run.base_sha[:_SHA_LETTERS]]))
    yield "agent", "  ".join(filter(None, [run.agent, run.agent_task_url]))
    yield "requested", " ".join(filter(None, [time_text(run.created_at), f"by {run.requested_by}"]))
    yield "notes", run.notes
    yield "attempt", str(run.attempt) if run.attempt > 1 else ""
    yield "cancel asked", time_text(run.cancel_requested_at)
    yield "running for", duration_text(took) if took is not None and run.is_active else ""
    for name, value in result_facts(run, now):
        if name not in {"failure", "in stage", "runbook"}:
            yield ("status" if name == "result" else name), value


def _failure_facts(failure: FailureView) -> Iterator[tuple[str, str | Text]]:
    yield "failure", f"{failure.message} [{failure.code}]" if failure.code else failure.message
    yield "in stage", failure.stage
    yield "runbook", failure.runbook_url


def _stage_status(stage: StageView, now: datetime) -> Text:
    shown = stage.status or "-"
    if stage.status == StageStatus.WAITING and stage.next_poll_at:
        shown = f"waiting, asks again in {duration_text(stage.next_poll_at - now)}"
    if stage.attempt > 1:
        shown = f"{shown} (attempt {stage.attempt})"
    return status_text(stage.status, shown)


def _duration(stage: StageView, now: datetime) -> str:
    took = stage.took(now)
    return duration_text(took) if took is not None and stage.status != StageStatus.QUEUED else ""
