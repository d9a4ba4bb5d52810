"""Write what a verb found: for people with the next step at the end, or as one JSON document."""

import json
from collections.abc import Mapping

import click

from moonmind.cli.exits import exit_for_error
from moonmind.cli.harmless import harmless, harmless_lines
from moonmind.cli.json_values import mapping, raw_text, sequence
from moonmind.cli.refusals import ServerRefusedError
from moonmind.domain.errors import WorkflowError

_JSON = "moonmind.cli.json"


def remember_json(context: click.Context, *, wanted: bool) -> None:
    """Keep that the operator asked for JSON; the error report asks for it."""
    context.meta[_JSON] = wanted


def write_json(document: Mapping[str, object]) -> None:
    """Write the one document, in ASCII, so that no encoding and no terminal can be hurt by it."""
    click.echo(json.dumps(document, indent=2).replace("\x7f", "\\u007f"))


def suggest(next_step: str, *, as_json: bool) -> None:
    """Name the next useful command, on standard error where standard output is a document."""
    if next_step:
        click.echo(f"next: {next_step}", err=as_json)


def report_failure(error: WorkflowError, context: click.Context) -> int:
    """Say on standard error what failed and what to do next, and return the exit code."""
    code = error.code_text if isinstance(error, ServerRefusedError) else str(error.code)
    if context.meta.get(_JSON):
        write_json({"error": {"code": code, "detail": error.detail, "remedy": error.remedy, **error.facts}})
    for line in harmless_lines(f"error: {error.detail} [{code}]"):
        click.echo(line, err=True)
    for line in map(_field_line, sequence(error.facts.get("errors"))):
        click.echo(f"  {line}", err=True)
    if error.remedy:
        click.echo(f"next: {harmless(error.remedy)}", err=True)
    return exit_for_error(error)


def _field_line(item: object) -> str:
    """Say which field of the request is wrong and why."""
    fields = mapping(item)
    place = fields.get("field") or fields.get("pointer") or fields.get("loc") or ""
    where = ".".join(map(str, place)) if isinstance(place, list) else str(place)
    why = raw_text(fields.get("message")) or raw_text(fields.get("detail")) or raw_text(fields.get("msg"))
    return harmless(f"{where}: {why}" if fields else str(item))
