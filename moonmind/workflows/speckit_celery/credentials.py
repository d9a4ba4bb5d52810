"""Check credentials where they will be used, and keep every verdict."""

import socket
from collections.abc import Mapping
from uuid import UUID

from api_service.db.session import Database
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Checked, Verdict
from moonmind.domain.states import AuditStatus
from moonmind.workflows.speckit_celery.repositories import Repositories


class RecordedCredentials:
    """
    The credentials gate of one run.

    Checks only read and rows are only appended, so repeating is safe.
    """

    def __init__(
        self,
        database: Database,
        run_id: UUID,
        *,
        codes: Mapping[str, FailureCode],
        worker: str,
    ) -> None:
        self._database = database
        self._run_id = run_id
        self._codes = codes
        self._environment = {"worker": worker, "host": socket.gethostname()}

    def require(self, *subjects: Checked) -> None:
        """Check each subject and keep the verdict; see `CredentialsGate`."""
        for subject in subjects:
            verdict = subject.check()
            self._keep(verdict)
            if verdict.status is AuditStatus.FAILED:
                detail = f"{verdict.message} {verdict.remedy}".strip()
                raise WorkflowError(self._codes[subject.name], detail, subject=subject.name)

    def _keep(self, verdict: Verdict) -> None:
        with self._database.transaction() as session:
            audits = Repositories(session, self._database.clock).audits
            audits.append(verdict, run_id=self._run_id, environment=self._environment)
