"""
Implement the sample's tasks from prepared text, for a demonstration without any language model.

It is run by path as an agent command: in the agent's tree, with the prompt on standard input.
So it needs nothing but the standard library and the folder `work` beside it.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WHO = "I am a script, not a language model."
WORK = Path(__file__).parent / "work"
TASKS_FILE = Path("specs/001-habit-streaks/tasks.md")

_ASKED = re.compile(r"^\s*[-*] \[ \] \**(T\d{3,})\b", re.MULTILINE)
_DIRECTIVE = re.compile(r"^@@ (create|append|before|after|replace) (\S+) ?(.*)$")


class CannotWorkError(Exception):
    """The script was handed something that it has no prepared work for."""


@dataclass(frozen=True)
class Edit:
    """One change of one file; an anchor is the beginning of the line it is made at."""

    verb: str
    path: Path
    anchor: str
    text: str

    def apply(self) -> None:
        """
        Make the change in the current folder.

        Repeating it is safe: a file that has the text already is left as it is.
        """
        if self.verb == "create":
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.write_text(self.text, encoding="utf-8")
            return
        if not self.path.exists():
            message = f"{self.path} is not there, so this is not the sample repository that I know"
            raise CannotWorkError(message)
        content = self.path.read_text(encoding="utf-8")
        if self.text not in content:
            self.path.write_text(self._changed(content), encoding="utf-8")

    def _changed(self, content: str) -> str:
        if self.verb == "append":
            return content + self.text
        lines = content.splitlines(keepends=True)
        at = next((index for index, line in enumerate(lines) if line.startswith(self.anchor)), None)
        if at is None:
            message = f"{self.path} has no line that starts with {self.anchor!r}; somebody changed what I build on"
            raise CannotWorkError(message)
        start = at + 1 if self.verb == "after" else at
        end = at if self.verb == "before" else at + 1
        return "".join([*lines[:start], self.text, *lines[end:]])


@dataclass(frozen=True)
class PreparedTask:
    """What the script does for one task, and which tasks must be finished before it."""

    id: str
    needs: tuple[str, ...]
    edits: tuple[Edit, ...]

    def by_file(self) -> Mapping[Path, Sequence[Edit]]:
        """Return the edits of each file, in order."""
        return {path: [edit for edit in self.edits if edit.path == path] for path in (edit.path for edit in self.edits)}


def read_task(task_id: str) -> PreparedTask:
    """Read the prepared work of a task: an optional `needs` line, then `@@` lines, each with its text."""
    file = WORK / f"{task_id}.txt"
    if not file.exists():
        message = f"I have nothing prepared for {task_id}"
        raise CannotWorkError(message)
    needs: tuple[str, ...] = ()
    edits: list[Edit] = []
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
        if directive := _DIRECTIVE.match(line):
            verb, path, anchor = directive.groups()
            edits.append(Edit(verb, Path(path), anchor, ""))
        elif edits:
            last = edits[-1]
            edits[-1] = Edit(last.verb, last.path, last.anchor, last.text + line)
        else:
            needs = tuple(line.split()[1:])
    return PreparedTask(task_id, needs, tuple(edits))


def asked_tasks(prompt: str) -> list[str]:
    """Return the ids of the open tasks that a prompt lists, each once, in order of their numbers."""
    found = sorted(set(_ASKED.findall(prompt)))
    if not found:
        message = "the prompt lists no open task"
        raise CannotWorkError(message)
    return found


def finished_tasks() -> set[str]:
    """Return the ids that the sample's task list has ticked."""
    if not TASKS_FILE.exists():
        message = f"{TASKS_FILE} is not here: I only know the sample repository of the demonstration"
        raise CannotWorkError(message)
    return set(re.findall(r"^- \[[xX]\] (T\d{3,})\b", TASKS_FILE.read_text(encoding="utf-8"), re.MULTILINE))


def plan(asked: Sequence[str], finished: set[str]) -> list[PreparedTask]:
    """Return the work for the asked tasks that are open; raises when one builds on a task that is not there."""
    tasks = [read_task(task_id) for task_id in asked if task_id not in finished]
    there = finished | set(asked)
    for task in tasks:
        if missing := [needed for needed in task.needs if needed not in there]:
            message = f"{task.id} builds on {', '.join(missing)}, which is neither finished nor asked for"
            raise CannotWorkError(message)
    return tasks


def tick(task_id: str) -> None:
    """Mark a task as finished in the task list."""
    content = TASKS_FILE.read_bytes()
    TASKS_FILE.write_bytes(content.replace(f"- [ ] {task_id} ".encode(), f"- [X] {task_id} ".encode()))


class Log:
    """Writes one line for each step, slowly enough to be watched; the last lines end up in the pull request."""

    def __init__(self, pause: float) -> None:
        self._pause = pause

    def say(self, text: str) -> None:
        """Write a line at once, then pause."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        time.sleep(self._pause)


def work(prompt: str, log: Log) -> None:
    """Do what the prompt asks for, tests included."""
    tasks = plan(asked_tasks(prompt), finished_tasks())
    log.say("I write prepared code for the tasks of one sample repository.")
    log.say(f"I am asked for {_listed(tasks)}.")
    for task in tasks:
        for path, edits in task.by_file().items():
            log.say(f"{task.id}: {'changing' if path.exists() else 'adding'} {path}")
            for edit in edits:
                edit.apply()
    run_tests(log)
    # A task is finished when the tests pass, so nothing is ticked before.
    for task in tasks:
        tick(task.id)
    log.say(f"Finished {_listed(tasks)}; the sample's tests pass.")


def run_tests(log: Log) -> None:
    """Run the sample's own tests; raises when they fail."""
    log.say("Running the sample's tests: python -m unittest")
    command = [sys.executable, "-B", "-m", "unittest"]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        message = f"the sample's tests fail:\n{done.stdout}"
        raise CannotWorkError(message)
    log.say(next(line for line in done.stdout.splitlines() if line.startswith("Ran ")))


def _listed(tasks: Sequence[PreparedTask]) -> str:
    return ", ".join(task.id for task in tasks) or "nothing that is still open"


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 when the tasks are done and the tests pass, 1 with a reason otherwise."""
    parser = argparse.ArgumentParser(description=WHO)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds to wait after each line (default: 0.2)")
    arguments = parser.parse_args(argv)
    log = Log(arguments.pause)
    log.say(WHO)
    try:
        work(sys.stdin.read(), log)
    except CannotWorkError as error:
        log.say(f"I stop here: {error}.")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
