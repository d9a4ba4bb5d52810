"""Write the commit's message: what was done, and trailers that say whose run it was."""

from uuid import UUID

from moonmind.domain.markdown import clip, inert
from moonmind.domain.results import Applied, Discovered, TaskRef

_SUBJECT_LIMIT = 72
_TASK_LIMIT = 200
_MOST_TASKS = 50
_TRAILER_LIMIT = 300


def commit_message(discovered: Discovered, applied: Applied, *, run_id: UUID) -> str:
    """
    Return the message; the same run and patch give the same text, and so the same commit.

    Every value is one line, and the trailers are a paragraph of their own at the end: a task or
    a title can add no trailer, close no issue and call nobody.
    """
    trailers = {
        "MoonMind-Run": str(run_id),
        "MoonMind-Feature": discovered.feature_dir,
        "MoonMind-Phase": discovered.phase.title,
        "MoonMind-Patch-SHA256": applied.final_patch.sha256,
    }
    paragraphs = [
        # At the start of a line git reads # as a comment and --- as the start of a patch.
        clip(inert(f"{discovered.feature_key}: {discovered.phase.title}"), _SUBJECT_LIMIT).lstrip("#-: ")
        or "Next phase",
        *_finished(applied),
        "\n".join(f"{name}: {clip(inert(value), _TRAILER_LIMIT) or 'unknown'}" for name, value in trailers.items()),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _finished(applied: Applied) -> list[str]:
    if not applied.ticked:
        return []
    opening = "Ticked on trust, since the agent reported nothing:" if applied.unverified else "Finished tasks:"
    lines = [_line(task) for task in applied.ticked[:_MOST_TASKS]]
    left_out = len(applied.ticked) - len(lines)
    if left_out:
        lines.append(f"- and {left_out} more")
    return ["\n".join([opening, *lines])]


def _line(task: TaskRef) -> str:
    return f"- {clip(inert(f'{task.id} {task.text}' if task.id else task.text), _TASK_LIMIT)}"
