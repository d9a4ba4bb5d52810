"""Say in a few words what a finished stage did, from the facts it recorded."""

from collections.abc import Callable, Mapping

from moonmind.cli.json_values import Document, documents, mapping, number, raw_text, sequence, text
from moonmind.domain.states import Stage


def stage_words(name: str, payload: Document) -> str:
    """Return a short sentence, nothing where the stage recorded nothing to speak of."""
    say = _SAYINGS.get(name)
    return say(payload) if say else ""


def _discovered(payload: Document) -> str:
    tasks = len(sequence(payload.get("taskIds")))
    counts = mapping(payload.get("counts"))
    if not tasks:
        return ""
    done = f", {number(counts.get('done'))} of {number(counts.get('total'))} done before" if counts else ""
    return f"{_counted(tasks, 'task')} to do{done}"


def _submitted(payload: Document) -> str:
    """Quote the first line of the agent's last words."""
    return text(raw_text(payload.get("lastMessage")).strip().partition("\n")[0])


def _applied(payload: Document) -> str:
    files = len(documents(payload.get("files")))
    ticked = len(sequence(payload.get("ticked")))
    if not files:
        return ""
    lines = f"+{number(payload.get('insertions'))} -{number(payload.get('deletions'))}"
    trust = " on trust" if payload.get("unverified") is True else ""
    return f"{_counted(files, 'file')}, {lines}" + (f", {_counted(ticked, 'task')} ticked{trust}" if ticked else "")


def _published(payload: Document) -> str:
    pull_request = number(payload.get("prNumber"))
    done = raw_text(payload.get("outcome")).removeprefix("pull_request_")
    return text(f"pull request #{pull_request} {done}".rstrip()) if pull_request else ""


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


_SAYINGS: Mapping[str, Callable[[Document], str]] = {
    Stage.DISCOVER: _discovered,
    Stage.SUBMIT: _submitted,
    Stage.APPLY: _applied,
    Stage.PUBLISH: _published,
}
