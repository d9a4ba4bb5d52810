"""Review the local forge's pull requests: `moonmind forge`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import click

from moonmind.cli.harmless import harmless, harmless_lines
from moonmind.cli.options import json_option
from moonmind.cli.output import suggest, write_json
from moonmind.config.settings import read_settings
from moonmind.domain.markers import find_marker
from moonmind.domain.ports import PullRequest, PullRequestState
from moonmind.forges.local import LocalForge


class ForgeReview(Protocol):
    """What a reviewer can do; `list` comes newest first."""

    def list(self, repository: str) -> Sequence[PullRequest]:
        """Return all pull requests; raises `repository_not_found`."""

    def read(self, repository: str, number: int) -> PullRequest:
        """Return one; raises `pull_request_not_found`."""

    def diff(self, repository: str, number: int) -> bytes:
        """Return what one changes."""

    def merge(self, repository: str, number: int) -> PullRequest:
        """Merge one; raises `pull_request_not_open` or `pull_request_conflict`."""

    def close(self, repository: str, number: int) -> PullRequest:
        """Close one; raises `pull_request_not_open`."""


def _from_settings() -> ForgeReview:
    settings = read_settings()
    return LocalForge(settings.effective_forge_root, public_url=settings.public_url)


@dataclass(frozen=True)
class ForgeSurroundings:
    """Collaborators of these verbs, to be handed in as the context's object; the default is the real one."""

    make_forge: Callable[[], ForgeReview] = _from_settings


def _review() -> ForgeReview:
    return click.get_current_context().ensure_object(ForgeSurroundings).make_forge()


_repository = click.argument("repository", metavar="OWNER/NAME")
_number = click.argument("number", metavar="N", type=click.IntRange(min=1))


@click.group()
def forge() -> None:
    """
    Look after the pull requests of the local forge.

    It keeps them beside its bare repositories, in SPEC_WORKFLOW_LOCAL_FORGE_ROOT.
    """


@forge.command("list")
@_repository
@json_option
def list_pulls(repository: str, *, as_json: bool) -> None:
    """List the pull requests of a repository, newest first."""
    pulls = _review().list(repository)
    if as_json:
        write_json({"items": [_document(pull) for pull in pulls]})
        return
    for pull in pulls:
        click.echo(f"#{pull.number:<4} {pull.state.value:<7} {harmless(pull.title)}  ({harmless(pull.head)})")
    still_open = [pull for pull in pulls if pull.state is PullRequestState.OPEN]
    suggest(f"moonmind forge show {repository} {still_open[0].number}" if still_open else "", as_json=False)


@forge.command()
@_repository
@_number
@json_option
def show(repository: str, number: int, *, as_json: bool) -> None:
    """Show the words and the difference of one pull request."""
    review = _review()
    pull = review.read(repository, number)
    difference = review.diff(repository, number).decode("utf-8", "replace")
    if as_json:
        write_json({**_document(pull), "diff": difference})
        return
    click.echo(f"#{pull.number} {harmless(pull.title)} [{pull.state.value}]")
    click.echo(f"{harmless(pull.head)} -> {harmless(pull.base)}   {pull.url}")
    click.echo()
    for line in harmless_lines(_without_marker(pull.body)):
        click.echo(line)
    click.echo()
    for line in harmless_lines(difference):
        click.echo(_coloured(line))
    if pull.state is PullRequestState.OPEN:
        suggest(f"moonmind forge merge {repository} {pull.number}", as_json=False)


@forge.command()
@_repository
@_number
@json_option
def merge(repository: str, number: int, *, as_json: bool) -> None:
    """Merge a pull request into its base branch."""
    pull = _review().merge(repository, number)
    _tell(pull, f"#{pull.number} is merged into {harmless(pull.base)}.", as_json=as_json)
    suggest(f"moonmind run {repository}", as_json=as_json)


@forge.command()
@_repository
@_number
@json_option
def close(repository: str, number: int, *, as_json: bool) -> None:
    """Close a pull request without merging it; the service never opens it again."""
    pull = _review().close(repository, number)
    _tell(pull, f"#{pull.number} is closed; nothing was merged.", as_json=as_json)


def _tell(pull: PullRequest, sentence: str, *, as_json: bool) -> None:
    if as_json:
        write_json(_document(pull))
    else:
        click.echo(sentence)


def _document(pull: PullRequest) -> Mapping[str, object]:
    fields = asdict(pull)
    return {**fields, "state": pull.state.value, "headSha": fields.pop("head_sha")}


def _without_marker(body: str) -> str:
    return body.rstrip().rpartition("\n")[0].rstrip() if find_marker(body) else body.rstrip()


def _coloured(line: str) -> str:
    """Colour a line as git does; the stream drops the colours where it is no terminal."""
    if line.startswith(("diff --git", "--- ", "+++ ")):
        return click.style(line, bold=True)
    colours = {"+": "green", "-": "red", "@": "cyan"}
    return click.style(line, fg=colours[line[0]]) if line[:1] in colours else line
