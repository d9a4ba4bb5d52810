"""Lay out what a run would do, before it is started."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from moonmind.cli.harmless import harmless_lines
from moonmind.cli.json_values import Document, documents, mapping, number, raw_text, sequence, text
from moonmind.cli.run_page import facts_grid
from moonmind.cli.screen import status_text

_WORK = "work"
_PROMPT_LINES = 20
_OPTIONS = {
    "featureKey": "--feature",
    "selectedPhase": "--phase",
    "baseBranch": "--base",
    "agent": "--agent",
    "notes": "--notes",
}


@dataclass(frozen=True)
class PreviewView:
    """What discovery would find and what would be sent to the agent."""

    status: str
    feature: str
    phase_title: str
    tasks: tuple[str, ...]
    base: str
    branch: str
    prompt: tuple[str, ...]
    credentials: tuple[tuple[str, str, str], ...]
    """Subject, status and words of each check."""
    pull_request_url: str
    warnings: tuple[str, ...]
    message: str
    """Why there is nothing to do; empty when there is."""

    @property
    def has_work(self) -> bool:
        """True when a run would have something to do."""
        return self.status == _WORK and not self.pull_request_url


def preview_view(document: Document) -> PreviewView:
    """Read a preview; unknown fields are ignored and wrong ones are empty."""
    phase = mapping(document.get("phase"))
    verdicts = documents(document.get("credentials"))
    return PreviewView(
        status=text(document.get("status")),
        feature=text(document.get("featureKey")),
        phase_title=text(phase.get("title")),
        tasks=tuple(map(_task_text, documents(document.get("tasks")))),
        base=" at ".join(filter(None, [text(document.get("baseBranch")), text(document.get("baseSha"))[:12]])),
        branch=text(document.get("branchName")),
        prompt=tuple(harmless_lines(raw_text(document.get("prompt")))),
        credentials=tuple(map(_verdict, verdicts)),
        pull_request_url=text(mapping(document.get("pullRequest")).get("url")),
        warnings=tuple(filter(None, map(text, sequence(document.get("warnings"))))),
        message=text(document.get("message")),
    )


def preview_page(view: PreviewView) -> RenderableType:
    """Return the page; a long prompt is cut, the JSON has all of it."""
    shown = view.prompt[:_PROMPT_LINES]
    parts: list[RenderableType] = [facts_grid(_facts(view))]
    parts += [Text(f"  {task}") for task in view.tasks]
    if any(shown):
        parts += [Text(), Text("prompt", style="dim"), *(Text(f"  {line}") for line in shown)]
    left = len(view.prompt) - len(shown)
    if left > 0:
        parts.append(Text(f"  ... {left} more lines, see --json", style="dim"))
    return Group(*parts, Text(), Text("Nothing was started."))


def preview_next_step(view: PreviewView, order: Mapping[str, object]) -> str:
    """Return the command that starts what was shown, or what stands in its way."""
    if view.pull_request_url:
        return f"merge {view.pull_request_url} first: this phase is in flight"
    if not view.has_work:
        return "moonmind list"
    failed = [subject for subject, status, _words in view.credentials if status == "failed"]
    if failed:
        return f"mend the credentials of {', '.join(failed)}, then {_command(order)}"
    return _command(order)


def _command(order: Mapping[str, object]) -> str:
    words = ["moonmind", "run", str(order["repository"])]
    for name, option in _OPTIONS.items():
        words += [option, str(order[name])] if name in order else []
    tasks = order.get("taskIds")
    for task in tasks if isinstance(tasks, list) else []:
        words += ["--task", str(task)]
    return shlex.join(words)


def _facts(view: PreviewView) -> Iterator[tuple[str, str | Text]]:
    yield "status", view.status
    yield "why", view.message
    yield "feature", view.feature
    yield "base", view.base
    yield "branch", view.branch
    yield "in flight", view.pull_request_url
    for subject, status, words in view.credentials:
        yield "credentials", Text.assemble(subject, " ", status_text(_as_stage(status), status), "  ", words)
    for warning in view.warnings:
        yield "warning", warning
    yield "phase", view.phase_title


def _as_stage(status: str) -> str:
    return "succeeded" if status == "passed" else status


def _task_text(task: Document) -> str:
    name = text(task.get("id")) or f"line {number(task.get('line'))}"
    words = text(task.get("text"))
    return words if words.startswith(name) else f"{name} {words}".rstrip()


def _verdict(document: Document) -> tuple[str, str, str]:
    words = " ".join(filter(None, [text(document.get("message")), text(document.get("remedy"))]))
    return text(document.get("subject")), text(document.get("status")), words
