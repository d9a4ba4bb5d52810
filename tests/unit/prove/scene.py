"""Lay out what one run leaves behind when all goes well, so that tests can spoil one thing at a time."""

import json
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import TableClause, insert, update

from api_service.db.session import Database
from moonmind.domain.states import STAGES
from moonmind.prove.auditing import Audit
from moonmind.prove.features import Feature, feature_of, git, make_repository, repository_path
from moonmind.prove.folder import ProofFolder
from moonmind.prove.outcome import Findings
from moonmind.prove.tables import ARTIFACTS, EVENTS, OUTBOX, PUSHED, RUNS
from moonmind.prove.tables import STAGES as STAGE_ROWS

RUN = UUID(int=7)
START = datetime(2026, 1, 1, tzinfo=UTC)
MARKER = f"mm-run-{RUN}-1-1"
BRANCH = "moonmind/001-feature/phase-1-proof"


@dataclass
class Scene:
    """One run of the first feature, landed as it should be."""

    folder: ProofFolder
    database: Database
    accepted: dict[int, UUID] = field(default_factory=lambda: {0: RUN})

    @property
    def feature(self) -> Feature:
        return feature_of(0)

    @property
    def bare(self) -> Path:
        return repository_path(self.folder.forge_root, self.feature)

    def findings(self) -> Findings:
        return Audit(self.folder, self.database, self.accepted).findings()

    def commit(self, *, submission: int, branch: str = BRANCH, on: str = "main") -> str:
        """Bring a submission's result to a branch; returns the commit."""
        text = f"submission {submission}\n"
        lines = [
            f"commit refs/heads/{branch}",
            "committer A <a@example.invalid> 1700000000 +0000",
            "data 5",
            "Work",
            f"from {git('-C', str(self.bare), 'rev-parse', on).strip()}",
            f"M 100644 inline {self.feature.result_path}",
            f"data {len(text)}",
            text,
        ]
        stream = "\n".join(lines).encode() + b"\n"
        git("-C", str(self.bare), "fast-import", "--quiet", "--force", stdin=stream)
        return git("-C", str(self.bare), "rev-parse", branch).strip()

    def open_pull_request(self, number: int) -> None:
        pulls = self.bare.with_suffix(".pulls")
        pulls.mkdir(exist_ok=True)
        (pulls / f"{number}.json").write_text(json.dumps({"number": number, "head": BRANCH}))

    def submit(self, *, marker: str = MARKER, overlaps: str | None = None) -> None:
        with sqlite3.connect(self.folder.remote_ledger) as ledger:
            ledger.execute("CREATE TABLE IF NOT EXISTS submissions (number INTEGER PRIMARY KEY, run, marker, overlaps)")
            values = (str(RUN), marker, overlaps)
            ledger.execute("INSERT INTO submissions (run, marker, overlaps) VALUES (?, ?, ?)", values)
        ledger.close()

    def add(self, table: TableClause, **values: object) -> None:
        with self.database.transaction() as session:
            session.execute(insert(table).values(**values))

    def change_run(self, **values: object) -> None:
        with self.database.transaction() as session:
            session.execute(update(RUNS).values(**values))

    def event(self, seq: int, stage: str | None, status: str) -> None:
        at = START + timedelta(seconds=seq)
        kind = "stage" if stage else "run"
        self.add(EVENTS, run_id=RUN, seq=seq, type=kind, stage=stage, attempt=1, status=status, at=at)


def landed_run(path: Path) -> Scene:
    """Return the scene of a run that went well."""
    folder = ProofFolder(path)
    database = Database(f"sqlite:///{path / 'rows.db'}")
    scene = Scene(folder, database)
    make_repository(folder.forge_root, scene.feature)
    with database.engine.begin() as connection:
        for table in (RUNS, STAGE_ROWS, EVENTS, ARTIFACTS, OUTBOX, PUSHED):
            connection.exec_driver_sql(f"CREATE TABLE {table.name} ({', '.join(column.name for column in table.c)})")
    scene.add(RUNS, id=RUN, repository=scene.feature.repository, status="succeeded", epoch=1)
    for position, stage in enumerate(STAGES):
        result = {"marker": MARKER} if stage.value == "submit" else None
        row = {"task_name": stage.value, "position": position, "attempt": 1, "status": "succeeded", "token": 1}
        scene.add(STAGE_ROWS, id=UUID(int=100 + position), run_id=RUN, crashes=0, result=result, **row)
        scene.event(10 * position + 1, stage.value, "running")
        scene.event(10 * position + 2, stage.value, "succeeded")
    scene.event(90, None, "succeeded")
    scene.add(ARTIFACTS, run_id=RUN, attempt=1, path=f"{RUN}/a1-submit-t1/prompt.md")
    scene.submit()
    scene.add(PUSHED, run_id=RUN, branch=BRANCH, commit_sha=scene.commit(submission=1))
    scene.open_pull_request(1)
    return scene
