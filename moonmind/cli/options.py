"""Declare the options that several verbs share, so that they mean the same everywhere."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from moonmind.cli.output import remember_json

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _note_json(context: click.Context, _parameter: click.Parameter, value: bool) -> bool:  # noqa: FBT001 - click's form
    remember_json(context, wanted=value)
    return value


def json_option(verb: Callable[_P, _R]) -> Callable[_P, _R]:
    """Add `--json`; the group's error report follows it too."""
    help_text = "One JSON document on standard output, all else on standard error."
    return click.option("--json", "as_json", is_flag=True, callback=_note_json, is_eager=True, help=help_text)(verb)


def run_argument(verb: Callable[_P, _R]) -> Callable[_P, _R]:
    """Add the argument RUN: an id, a unique beginning of one, or `last`."""
    return click.argument("run", metavar="RUN")(verb)


def notes_option(verb: Callable[_P, _R]) -> Callable[_P, _R]:
    """Add `--notes`."""
    return click.option("--notes", metavar="TEXT", help="Words for the agent's prompt and the record.")(verb)
