"""List the verbs with their one-line help, so that only the verb that is called gets imported."""

from collections.abc import Callable
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Verb:
    """One verb: where the help lists it, what it does, and how to get it."""

    section: str
    summary: str
    load: Callable[[], click.Command]


def _run() -> click.Command:
    from moonmind.cli.run import run

    return run


def _list() -> click.Command:
    from moonmind.cli.list import list_runs

    return list_runs


def _show() -> click.Command:
    from moonmind.cli.show import show

    return show


def _watch() -> click.Command:
    from moonmind.cli.watch import watch

    return watch


def _logs() -> click.Command:
    from moonmind.cli.logs import logs

    return logs


def _artifacts() -> click.Command:
    from moonmind.cli.artifacts import artifacts

    return artifacts


def _download() -> click.Command:
    from moonmind.cli.download import download

    return download


def _retry() -> click.Command:
    from moonmind.cli.retry import retry

    return retry


def _cancel() -> click.Command:
    from moonmind.cli.cancel import cancel

    return cancel


def _tasks() -> click.Command:
    from moonmind.cli.tasks import tasks

    return tasks


def _forge() -> click.Command:
    from moonmind.cli.forge import forge

    return forge


def _demo() -> click.Command:
    from moonmind.cli.demo import demo

    return demo


def _prove() -> click.Command:
    from moonmind.cli.prove import prove

    return prove


def _up() -> click.Command:
    from moonmind.cli.up import up

    return up


def _api() -> click.Command:
    from moonmind.cli.api import api

    return api


def _worker() -> click.Command:
    from moonmind.cli.worker import worker

    return worker


def _token() -> click.Command:
    from moonmind.cli.token import token

    return token


def _db() -> click.Command:
    from moonmind.cli.db import db

    return db


_RUNS = "Runs"
_FILES = "Repositories"
_SERVICE = "Service"

VERBS = {
    "run": Verb(_RUNS, "Take the next phase of a repository: one branch, one pull request.", _run),
    "list": Verb(_RUNS, "List runs, newest first.", _list),
    "show": Verb(_RUNS, "Show one run: stages, result, failure and what to do next.", _show),
    "watch": Verb(_RUNS, "Follow a run until it ends.", _watch),
    "logs": Verb(_RUNS, "Print the agent's log.", _logs),
    "artifacts": Verb(_RUNS, "List the files that a run stored.", _artifacts),
    "download": Verb(_RUNS, "Fetch one stored file and check its digest.", _download),
    "retry": Verb(_RUNS, "Go on with a failed or cancelled run.", _retry),
    "cancel": Verb(_RUNS, "Stop a run.", _cancel),
    "tasks": Verb(_FILES, "Show what is read from a tasks.md.", _tasks),
    "forge": Verb(_FILES, "Look after the repositories and pull requests of the local forge.", _forge),
    "demo": Verb(_SERVICE, "See a whole run on a sample repository.", _demo),
    "prove": Verb(_SERVICE, "Break a stack on purpose and count what that cost.", _prove),
    "up": Verb(_SERVICE, "Start everything in one process.", _up),
    "api": Verb(_SERVICE, "Start the HTTP API.", _api),
    "worker": Verb(_SERVICE, "Start a worker.", _worker),
    "token": Verb(_SERVICE, "Make, list and revoke tokens for operators.", _token),
    "db": Verb(_SERVICE, "Bring the database to this version's schema.", _db),
}
