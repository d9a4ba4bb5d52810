"""Write what a reviewer reads: a pull request that stands on its own."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote
from uuid import UUID

from moonmind.domain.markdown import (
    bounded_lines,
    clip,
    code_span,
    fenced,
    inert,
    inline,
    one_line,
    short_line,
    table_code,
)
from moonmind.domain.markers import Marker, find_marker, make_marker, render_marker
from moonmind.domain.results import Applied, Discovered, FileChange, Submitted, TaskRef, TokenUsage

__all__ = ["Marker", "RunFacts", "find_marker", "marker_of", "pull_request_body", "pull_request_title", "render_marker"]

BODY_LIMIT = 65_536
"""What GitHub takes, in characters; the limits below add up to less."""
TITLE_LIMIT = 200
_TASK_TEXT_LIMIT = 400
_PATH_LIMIT = 200
_WORDS_LIMIT = 4_000
_MOST_FILES = 100
# Characters for each list; the rest of the body is short.
_TASKS_ROOM = 20_000
_FILES_ROOM = 12_000
_DOCUMENTS_ROOM = 6_000
_WARNINGS_ROOM = 3_000


@dataclass(frozen=True)
class RunFacts:
    """
    What the body says of the run itself, beside what its stages found.

    `web_url` is the repository's address in a browser, such as `https://github.com/o/r`;
    without it documents are named by their path.
    """

    run_id: UUID
    run_url: str
    requested_by: str
    notes: str | None = None
    web_url: str | None = None


def marker_of(discovered: Discovered, run_id: UUID) -> Marker:
    """Return the marker that the run's own pull request carries."""
    return make_marker(
        run=str(run_id),
        feature=discovered.feature_dir,
        phase=discovered.phase.title,
        base=discovered.base_branch,
    )


def pull_request_title(discovered: Discovered) -> str:
    """Return one line of plain text; it may become a commit's subject, so it mentions nobody."""
    title = f"{short_line(discovered.feature_key, TITLE_LIMIT)}: {short_line(discovered.phase.title, TITLE_LIMIT)}"
    return clip(inert(title), TITLE_LIMIT)


def pull_request_body(discovered: Discovered, submitted: Submitted, applied: Applied, *, facts: RunFacts) -> str:
    """Return Markdown of at most `BODY_LIMIT` characters whose last line is the hidden marker."""
    blocks = [
        _opening(discovered, submitted),
        *_trust(applied),
        _tasks(applied),
        _files(applied),
        _documents(discovered, facts),
        *_words("What the agent said last", submitted.last_message),
        *_words("Notes of the operator", facts.notes or ""),
        *_warnings(discovered),
        _about(discovered, submitted, applied, facts),
        render_marker(marker_of(discovered, facts.run_id)),
    ]
    return "\n\n".join(blocks) + "\n"


def _opening(discovered: Discovered, submitted: Submitted) -> str:
    phase = inline(short_line(discovered.phase.title, _TASK_TEXT_LIMIT))
    return (
        f"This is the work of the agent {code_span(short_line(submitted.agent, 100))} on **{phase}** "
        f"of {code_span(short_line(discovered.tasks_path, _PATH_LIMIT))}, starting from "
        f"{code_span(short_line(discovered.base_branch, _PATH_LIMIT))} at {code_span(discovered.base_sha[:12])}."
    )


def _trust(applied: Applied) -> Iterator[str]:
    if applied.unverified and applied.ticked:
        yield (
            "**Unverified:** the agent did not report which tasks it finished. All tasks it was given are "
            "ticked below and in the task file, on trust. Please check each of them before you merge."
        )


def _tasks(applied: Applied) -> str:
    done = {(task.id, task.line) for task in applied.ticked}
    tasks = sorted([*applied.ticked, *applied.left_open], key=lambda task: task.line)
    mark = " (unverified)" if applied.unverified else ""
    summary = f"{len(applied.ticked)} of {len(tasks)} ticked{mark}, {len(applied.left_open)} left open."
    lines = [_task_line(task, ticked=(task.id, task.line) in done) for task in tasks]
    listed = bounded_lines(lines, limit=_TASKS_ROOM, more="- … and {count} more in the task file")
    return "\n".join(["## Tasks", "", summary, "", *listed])


def _task_line(task: TaskRef, *, ticked: bool) -> str:
    name = f"{code_span(short_line(task.id, 40))} " if task.id else ""
    return f"- [{'x' if ticked else ' '}] {name}{inline(short_line(task.text, _TASK_TEXT_LIMIT))}"


def _files(applied: Applied) -> str:
    count = len(applied.files)
    summary = f"{count} file{'' if count == 1 else 's'}, {applied.insertions} lines added, {applied.deletions} removed."
    rows = bounded_lines([_file_row(file) for file in applied.files[:_MOST_FILES]], limit=_FILES_ROOM, more="")
    shown = [row for row in rows if row]
    left_out = [f"| … and {count - len(shown)} more | | |"] if len(shown) < count else []
    return "\n".join(
        ["## Changed files", "", summary, "", "| File | Added | Removed |", "| --- | ---: | ---: |", *shown, *left_out]
    )


def _file_row(file: FileChange) -> str:
    counts = "binary | binary" if file.binary else f"{file.insertions} | {file.deletions}"
    return f"| {table_code(short_line(file.path, _PATH_LIMIT))} | {counts} |"


def _documents(discovered: Discovered, facts: RunFacts) -> str:
    lines = [f"- {_document(path, discovered, facts)}" for path in discovered.documents]
    listed = bounded_lines(lines, limit=_DOCUMENTS_ROOM, more="- … and {count} more")
    heading = f"The plan, as the agent read it at {code_span(discovered.base_sha[:12])}:"
    return "\n".join(["## Documents", "", heading, "", *(listed or [f"- {code_span(discovered.tasks_path)}"])])


def _document(path: str, discovered: Discovered, facts: RunFacts) -> str:
    if facts.web_url is None or len(path) > _PATH_LIMIT:
        return code_span(short_line(path, _PATH_LIMIT))
    address = f"{facts.web_url}/blob/{discovered.base_sha}/{quote(path, safe='/', errors='replace')}"
    # An escaped name: brackets of a code span would end a link's text on some forges.
    return f"[{inline(path)}]({address})"


def _words(heading: str, text: str) -> Iterator[str]:
    if text.strip():
        yield f"## {heading}\n\n{fenced(clip(text.strip(), _WORDS_LIMIT))}"


def _warnings(discovered: Discovered) -> Iterator[str]:
    if discovered.warnings:
        lines = [f"- {inline(short_line(warning, _TASK_TEXT_LIMIT))}" for warning in discovered.warnings]
        listed = bounded_lines(lines, limit=_WARNINGS_ROOM, more="- … and {count} more")
        yield "\n".join(["## Warnings about the task file", "", *listed])


def _about(discovered: Discovered, submitted: Submitted, applied: Applied, facts: RunFacts) -> str:
    agent = f"{submitted.agent} {submitted.agent_version}".strip()
    lines = [
        f"- Run: [{facts.run_id}]({facts.run_url})",
        f"- Requested by: {inline(short_line(facts.requested_by, 100)) or 'unknown'}",
        f"- Agent: {code_span(short_line(agent, 150))}{_usage(submitted.usage)}",
        f"- Base: {code_span(short_line(discovered.base_branch, _PATH_LIMIT))} at {code_span(discovered.base_sha)}",
        f"- Patch: {code_span(f'sha256:{applied.final_patch.sha256}')}",
        f"- To have it done again with your remarks: close this pull request, then {code_span(_again(discovered))}",
        f"- Should the run itself have failed: {code_span(f'moonmind retry {facts.run_id}')}",
    ]
    return "\n".join(["## About this run", "", *lines])


def _usage(usage: TokenUsage | None) -> str:
    if usage is None:
        return ""
    return (
        f", {usage.input_tokens:,} tokens in ({usage.cached_input_tokens:,} of them cached), "
        f"{usage.output_tokens:,} out"
    )


def _again(discovered: Discovered) -> str:
    words: Sequence[str] = (
        "moonmind",
        "run",
        clip(discovered.repository, _PATH_LIMIT),
        "--feature",
        clip(discovered.feature_key, _PATH_LIMIT),
        "--notes",
        "what should be different",
    )
    return shlex.join([one_line(word) for word in words])
