"""Say which command helps next, for each state that a run can be in."""

import shlex
from urllib.parse import urlsplit

from moonmind.cli.views import RunView
from moonmind.domain.states import RunOutcome, RunStatus


def next_step(run: RunView) -> str:
    """Return a line that can be pasted, or the remedy of the failure."""
    if run.is_active:
        return f"moonmind watch {run.short_id}"
    if run.status == RunStatus.FAILED:
        remedy = run.failure.remedy if run.failure else ""
        return remedy or f"moonmind logs {run.short_id}, then moonmind retry {run.short_id}"
    if run.status == RunStatus.CANCELLED:
        return f"moonmind retry {run.short_id}"
    if run.status == RunStatus.SUCCEEDED:
        return f"{_merge_first(run)}{_next_phase(run)}"
    if run.status == RunStatus.NO_WORK:
        return _after_no_work(run)
    return f"moonmind show {run.short_id}"


def _after_no_work(run: RunView) -> str:
    if run.outcome == RunOutcome.PHASE_IN_FLIGHT:
        return f"{_merge_first(run)}{_next_phase(run)}"
    if run.outcome == RunOutcome.HELD:
        return f"open or finish the held tasks in tasks.md, then {_next_phase(run)}"
    return "moonmind list"


def _merge_first(run: RunView) -> str:
    if not run.pr_url:
        return ""
    # A pull request that the service keeps itself is merged by its own command; others where they are.
    ours = urlsplit(run.pr_url).path == f"/forge/{run.repository}/pulls/{run.pr_number}"
    merge = f"moonmind forge merge {shlex.quote(run.repository)} {run.pr_number}" if ours else f"merge {run.pr_url}"
    return f"{merge}, then "


def _next_phase(run: RunView) -> str:
    feature = f" --feature {shlex.quote(run.feature)}" if run.feature else ""
    return f"moonmind run {shlex.quote(run.repository)}{feature}"
