"""Turn a problem document into an error that keeps the service's own words, even for codes of a newer service."""

from moonmind.cli.json_values import Document, raw_text
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

_DEFINED_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "remedy"})


class ServerRefusedError(WorkflowError):
    """The service answered with a problem; `code_text` is its code, known to this version or not."""

    def __init__(self, status: int, problem: Document) -> None:
        self.status = status
        self.code_text = raw_text(problem.get("code"))
        self._remedy = raw_text(problem.get("remedy"))
        detail = raw_text(problem.get("detail")) or raw_text(problem.get("title")) or f"The service answered {status}."
        code = FailureCode(self.code_text) if self.is_known else FailureCode.UNEXPECTED_ERROR
        super().__init__(code, detail, **{k: v for k, v in problem.items() if k not in _DEFINED_MEMBERS})

    @property
    def is_known(self) -> bool:
        """True when the code is in this version's catalogue."""
        return self.code_text in set(FailureCode)

    @property
    def remedy(self) -> str:
        """The service's next step; the catalogue's where it sent none for a code known here."""
        return self._remedy or (super().remedy if self.is_known else "")


def refusal_of(status: int, problem: Document | None) -> ServerRefusedError | None:
    """Return the refusal that a problem document stands for, None when it is no such document."""
    if problem is None or not raw_text(problem.get("code")):
        return None
    return ServerRefusedError(status, problem)
