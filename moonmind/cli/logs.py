"""Print the agent's log: `moonmind logs`."""

from collections.abc import Iterator

import click

from moonmind.cli.client import LogPart, ServiceClient
from moonmind.cli.following import is_momentary
from moonmind.cli.harmless import harmless
from moonmind.cli.log_lines import LineCutter, log_entry, log_lines
from moonmind.cli.naming import find_run
from moonmind.cli.next_step import next_step
from moonmind.cli.options import json_option, run_argument
from moonmind.cli.output import suggest, write_json
from moonmind.cli.surroundings import Surroundings, surroundings
from moonmind.cli.views import run_view
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.states import Stage

_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_MOST_FAILURES = 60
_MOST_DOCUMENT_LETTERS = 64 * 1024 * 1024


@click.command
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on while the run is active.")
@click.option(
    "--stage", type=click.Choice([stage.value for stage in Stage]), help="The log of one stage; else the agent's."
)
@json_option
def logs(run: str, stage: str | None, *, follow: bool, as_json: bool) -> None:
    """
    Print the agent's log.

    RUN is its id, a unique beginning of it, or `last`. `moonmind download RUN codex_logs`
    fetches the stored file byte for byte.
    """
    around = surroundings()
    client = around.connect()
    run_id = find_run(client, run)
    parts = _parts(client, run_id, stage, around=around, follow=follow)
    if as_json:
        write_json(_document(run_id, parts))
    else:
        _print(parts)
    suggest(next_step(run_view(client.run(run_id, brief=True))), as_json=as_json)


def _parts(
    client: ServiceClient, run_id: str, stage: str | None, *, around: Surroundings, follow: bool
) -> Iterator[LogPart]:
    """Read the log to its end; following, until it is complete or the run has ended."""
    offset, failures = 0, 0
    while True:
        try:
            # Asked before the log is read: what an active run adds later is then not missed.
            is_active = follow and run_view(client.run(run_id, brief=True)).is_active
            part = _part(client, run_id, stage, offset=offset, may_come=is_active)
        except WorkflowError as error:
            failures += 1
            if not follow or failures > _MOST_FAILURES or not is_momentary(error):
                raise
            if failures == 1:
                click.echo(f"the service is away, still following: {harmless(error.detail)}", err=True)
            around.pause(min(_PAUSE * 2**failures, _LONGEST_PAUSE))
            continue
        failures = 0
        yield part
        offset = part.next_offset
        if part.is_complete or not (part.content or is_active):
            return
        if not part.content:
            around.pause(_PAUSE)


def _part(client: ServiceClient, run_id: str, stage: str | None, *, offset: int, may_come: bool) -> LogPart:
    """Read a part; a log that is not there yet is empty while it may still come."""
    try:
        return client.log(run_id, offset=offset, stage=stage)
    except WorkflowError as error:
        if not may_come or error.code is not FailureCode.ARTIFACT_NOT_FOUND:
            raise
        return LogPart(b"", offset, is_complete=False)


def _print(parts: Iterator[LogPart]) -> None:
    is_empty = True
    for line in _whole_lines(parts):
        is_empty = False
        for shown in log_lines(line):
            click.echo(shown)
    if is_empty:
        click.echo("the log is empty", err=True)


def _document(run_id: str, parts: Iterator[LogPart]) -> dict[str, object]:
    lines: list[object] = []
    size = 0
    for line in _whole_lines(parts):
        size += len(line)
        if size > _MOST_DOCUMENT_LETTERS:
            message = "the log is too long for one document; fetch it with `moonmind download RUN codex_logs`"
            raise click.UsageError(message)
        lines.append(log_entry(line))
    return {"runId": run_id, "lines": lines}


def _whole_lines(parts: Iterator[LogPart]) -> Iterator[str]:
    cutter = LineCutter()
    for part in parts:
        yield from cutter.feed(part.content)
    yield from cutter.finish()
