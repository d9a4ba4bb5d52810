"""Fetch one stored file and check its digest: `moonmind download`."""

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from moonmind.cli.client import ServiceClient
from moonmind.cli.harmless import harmless, harmless_lines
from moonmind.cli.naming import find_artifact, find_run
from moonmind.cli.options import json_option, run_argument
from moonmind.cli.output import suggest, write_json
from moonmind.cli.surroundings import surroundings
from moonmind.cli.views import ArtifactView
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_STANDARD_OUTPUT = "-"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_LONGEST_NAME = 120


@click.command
@run_argument
@click.argument("artifact", metavar="ARTIFACT")
@click.option("-o", "--output", metavar="FILE", help="Where to write it; `-` is standard output.")
@json_option
def download(run: str, artifact: str, output: str | None, *, as_json: bool) -> None:
    """
    Fetch one stored file and check its digest.

    ARTIFACT is an id, a name or a type as `moonmind artifacts RUN` lists them; of several
    the newest attempt is taken. A file that is there already is never overwritten. RUN is
    an id, a unique beginning of it, or `last`.
    """
    if as_json and output == _STANDARD_OUTPUT:
        message = "--json and `-o -` both want standard output."
        raise click.UsageError(message)
    client = surroundings().connect()
    run_id = find_run(client, run)
    found = find_artifact(client, run_id, artifact)
    if output == _STANDARD_OUTPUT:
        _to_standard_output(client, run_id, found)
        suggest(f"moonmind artifacts {run_id}", as_json=True)
        return
    path = _target(output, found)
    _to_file(client, run_id, found, path)
    if as_json:
        write_json({"runId": run_id, "artifactId": found.id, "file": str(path), "digest": found.digest})
    else:
        click.echo(f"wrote {harmless(str(path))}, {found.size_bytes} bytes, {found.digest}")
    suggest(f"moonmind artifacts {run_id}", as_json=as_json)


def _target(output: str | None, artifact: ArtifactView) -> Path:
    """Return where to write: the operator's path, or a plain name of ours made from the service's."""
    name = _UNSAFE.sub("_", artifact.name or artifact.artifact_type).lstrip(".-")[-_LONGEST_NAME:] or "artifact"
    path = Path(output) if output else Path(name)
    if path.is_dir():
        path /= name
    if path.exists() or path.is_symlink():
        raise _is_there(path)
    if not path.parent.is_dir():
        message = f"there is no folder {harmless(str(path.parent))}"
        raise click.UsageError(message)
    return path


def _to_file(client: ServiceClient, run_id: str, artifact: ArtifactView, path: Path) -> None:
    """Write beside the target first, so that a file under its name is always whole and checked."""
    with _part_file(path) as (file, part):
        _copy_checked(client, run_id, artifact, file)
        file.flush()
        try:
            os.link(part, path)
        except FileExistsError:
            raise _is_there(path) from None
        except OSError:
            # Some file systems have no links; a new file that must not exist yet is as safe, only not as sudden.
            _copy_to_new(part, path)


@contextmanager
def _part_file(path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    try:
        descriptor, name = tempfile.mkstemp(prefix=".moonmind-", suffix=".part", dir=path.parent)
    except OSError as error:
        message = f"{harmless(str(path.parent))} cannot be written: {error.strerror}"
        raise click.UsageError(message) from error
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, part
    finally:
        part.unlink(missing_ok=True)


def _copy_to_new(part: Path, path: Path) -> None:
    try:
        with part.open("rb") as source, path.open("xb") as target:
            shutil.copyfileobj(source, target)
    except FileExistsError:
        raise _is_there(path) from None


def _to_standard_output(client: ServiceClient, run_id: str, artifact: ArtifactView) -> None:
    """Hand out nothing before all of it is checked; a terminal gets it with its controls made visible."""
    with tempfile.NamedTemporaryFile() as file:
        _copy_checked(client, run_id, artifact, file)
        file.seek(0)
        if not sys.stdout.isatty():
            shutil.copyfileobj(file, sys.stdout.buffer)
            return
        for line in file:
            for shown in harmless_lines(line.decode(errors="replace")):
                click.echo(shown)


def _copy_checked(client: ServiceClient, run_id: str, artifact: ArtifactView, file: IO[bytes]) -> None:
    """Copy at most as many bytes as were promised; raises `artifact_digest_mismatch`."""
    promised = _DIGEST.fullmatch(artifact.digest)
    if not promised:
        raise _mismatch(run_id, artifact, "has no sha256 digest to check it against")
    digest, size = hashlib.sha256(), 0
    with client.artifact_content(run_id, artifact.id) as chunks:
        for chunk in chunks:
            size += len(chunk)
            if size > artifact.size_bytes:
                raise _mismatch(run_id, artifact, f"is longer than the {artifact.size_bytes} bytes it should have")
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != promised[1]:
        raise _mismatch(run_id, artifact, f"does not have the digest {artifact.digest}")


def _mismatch(run_id: str, artifact: ArtifactView, what: str) -> WorkflowError:
    detail = f"{artifact.name or artifact.artifact_type} {what}; nothing was written."
    return WorkflowError(FailureCode.ARTIFACT_DIGEST_MISMATCH, detail, runId=run_id)


def _is_there(path: Path) -> click.UsageError:
    return click.UsageError(f"{harmless(str(path))} is there already; name another file with -o, or move it away")
