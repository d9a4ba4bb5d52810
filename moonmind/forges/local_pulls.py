"""Keep the local forge's pull requests as JSON files that several processes may change at once."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import PullRequestState

_LOCK = ".lock"


@dataclass(frozen=True)
class PullRecord:
    """
    One pull request as stored.

    While it is open, `head_sha` and `base_sha` are those of the last change to it; once it is
    decided they are the tips that were decided about, so that its difference can still be shown.
    """

    number: int
    state: PullRequestState
    head: str
    base: str
    head_sha: str
    base_sha: str
    title: str
    body: str
    merge_sha: str | None = None


class PullStore:
    """The folder of one repository's pull requests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold off every other process and thread that wants to change this folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def all(self) -> Sequence[PullRecord]:
        """Return all of them, newest first."""
        return [self._load(number) for number in sorted(self._numbers(), reverse=True)]

    def get(self, number: int) -> PullRecord:
        """Return one; raises `pull_request_not_found`."""
        if number not in self._numbers():
            detail = f"There is no pull request #{number} in {self._folder}."
            raise WorkflowError(FailureCode.PULL_REQUEST_NOT_FOUND, detail)
        return self._load(number)

    def next_number(self) -> int:
        """Return a number that none has; only the holder of the lock may rely on it."""
        return max(self._numbers(), default=0) + 1

    def save(self, record: PullRecord) -> None:
        """Replace the file of one as a whole: a reader, and a crash, sees the old one or the new one."""
        content = json.dumps(asdict(record), ensure_ascii=True, indent=2).encode()
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self._path(record.number))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(self._folder)

    def _numbers(self) -> set[int]:
        names = (path.stem for path in self._folder.glob("*.json")) if self._folder.is_dir() else ()
        return {int(name) for name in names if name.isascii() and name.isdigit()}

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.json"

    def _load(self, number: int) -> PullRecord:
        path = self._path(number)
        try:
            fields = json.loads(path.read_bytes())
            return PullRecord(**{**fields, "number": number, "state": PullRequestState(fields["state"])})
        except (ValueError, TypeError, KeyError) as error:
            detail = f"{path} is not a pull request as this version writes it: {error}"
            raise WorkflowError(FailureCode.FORGE_UNAVAILABLE, detail) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
