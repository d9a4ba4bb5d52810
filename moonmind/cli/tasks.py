"""Show what the reader sees in a tasks.md, so that a file can be mended before a run."""

import json
import os
import re
import shlex
import stat
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import click

from moonmind.domain.plan import Plan, PlanPhase, PlanStatus, PlanTask, plan_report, read_plan
from moonmind.domain.plan_text import MAX_BYTES

_EXIT_CODES = {PlanStatus.WORK: 0, PlanStatus.NO_WORK: 4, PlanStatus.HELD: 4, PlanStatus.UNREADABLE: 1}
_USAGE = 2
_TITLE_WIDTH = 60
_TEXT_WIDTH = 90
_STANDARD_INPUT = "-"
_WIDE = 2
# Control characters, those that turn the direction of writing, and halves of characters.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_HEADLINES = {
    PlanStatus.WORK: "There is work.",
    PlanStatus.NO_WORK: "No work: every task is done or cancelled.",
    PlanStatus.HELD: "Held: nothing is open, but some tasks have a mark that is neither done nor open.",
    PlanStatus.UNREADABLE: "Unreadable.",
}


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to standard output.")
def tasks(*, file: str, as_json: bool) -> None:
    """
    Show the phases of FILE and the open tasks of the next one.

    FILE is a Spec Kit tasks.md, or - for standard input. The exit code is 0 when there is
    work, 4 when there is none, 1 when the file is no task list, and 2 when it cannot be read.
    """
    plan = read_plan(_read(file))
    if as_json:
        click.echo(json.dumps(plan_report(plan), indent=2))
    else:
        for line in _described(plan):
            click.echo(_printable(line))
    if plan.status is PlanStatus.UNREADABLE:
        click.echo(_printable(f"{file} is unreadable: {plan.reason}."), err=True)
        click.echo(
            "Give each task a line such as `- [ ] T001 What to do`, below a heading such as `## Phase 1: Setup`.",
            err=True,
        )
    raise SystemExit(_EXIT_CODES[plan.status])


def _read(file: str) -> bytes:
    """
    Read the file, but never wait for one that is no file.

    One byte beyond the limit is enough for the reader to say that there are too many.
    """
    if file == _STANDARD_INPUT:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    path = Path(file)
    try:
        # A run reads what is committed, and of a symbolic link that is only its target's name.
        if path.is_symlink():
            _refuse(file, "is a symbolic link", f"moonmind tasks {shlex.quote(os.path.realpath(path))}")
        if path.is_dir():
            _refuse(file, "is a folder", f"moonmind tasks {shlex.quote(str(path / 'tasks.md'))}")
        # Without O_NONBLOCK, opening a named pipe waits until somebody writes to it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                _refuse(file, "is no regular file", "moonmind tasks specs/FEATURE/tasks.md")
            if found.st_size > MAX_BYTES:
                what = f"has {found.st_size:,} bytes, more than the {MAX_BYTES:,} that a task list may have"
                _refuse(file, what, "moonmind tasks specs/FEATURE/tasks.md")
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        _refuse(file, "does not exist", "find . -name tasks.md")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        _refuse(file, f"cannot be read ({why})", f"ls -l {shlex.quote(file)}")


def _refuse(file: str, what: str, command: str) -> NoReturn:
    click.echo(_printable(f"{file} {what}."), err=True)
    click.echo(_printable(f"Try: {command}"), err=True)
    raise SystemExit(_USAGE)


def _described(plan: Plan) -> Iterator[str]:
    yield _HEADLINES[plan.status]
    if plan.phases:
        yield ""
        yield from _table(plan)
    following = plan.next_phase
    if following is not None:
        yield ""
        yield f"Next: {following.title} (line {following.line})"
        yield from (_task_line(task) for task in following.open_tasks)
    if plan.warnings:
        yield ""
        yield from (f"Warning: {warning}." for warning in plan.warnings)


def _table(plan: Plan) -> Iterator[str]:
    titles = [_fitted(phase.title, _TITLE_WIDTH) for phase in plan.phases]
    width = max(len("Phase"), len("Together"), *(_columns(title) for title in titles))
    yield _row("Line", "Phase", width, ("Done", "Total", "Open", "Other"))
    for phase, title in zip(plan.phases, titles, strict=True):
        yield _row(str(phase.line), title, width, _numbers(phase))
    total = [sum(int(numbers[column]) for numbers in map(_numbers, plan.phases)) for column in range(4)]
    yield _row("", "Together", width, [str(number) for number in total])


def _numbers(phase: PlanPhase) -> tuple[str, str, str, str]:
    done, total, still_open = len(phase.finished_tasks), len(phase.tasks), len(phase.open_tasks)
    return str(done), str(total), str(still_open), str(total - done - still_open)


def _row(line: str, title: str, width: int, numbers: Sequence[str]) -> str:
    padding = " " * (width - _columns(title))
    return f"{line:>6}  {title}{padding}" + "".join(f"{number:>7}" for number in numbers)


def _task_line(task: PlanTask) -> str:
    name = f"{task.id}  " if task.id else ""
    return f"{task.line:>6}  {name}{_fitted(task.text, _TEXT_WIDTH)}"


def _fitted(text: str, width: int) -> str:
    """Cut a text to a width on the screen, where some letters take two columns."""
    taken = 0
    for position, character in enumerate(text):
        taken += _columns(character)
        if taken > width:
            return text[: position - 1] + "…"
    return text


def _columns(text: str) -> int:
    return sum(
        _WIDE if unicodedata.east_asian_width(letter) in "WF" else not unicodedata.combining(letter) for letter in text
    )


def _printable(text: str) -> str:
    """Keep a file's control characters away from the terminal, and what its encoding cannot show."""
    shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "replace").decode(encoding)
