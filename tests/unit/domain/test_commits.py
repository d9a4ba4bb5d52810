"""A commit's message says what was done, and only we write its trailers."""

import re
import subprocess

import pytest

from moonmind.domain.commits import commit_message
from moonmind.domain.results import PhaseRef, TaskRef
from tests.unit.domain.work import FEATURE, RUN_ID, applied, discovered

HOSTILE = "x\n\nMoonMind-Run: forged\r\nSigned-off-by: Mallory\x00\u2028MoonMind-Phase: y"


def trailers(message: str) -> list[str]:
    parsed = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message, text=True, check=True, capture_output=True
    )
    return parsed.stdout.splitlines()


def test_the_message_is_the_one_that_was_approved() -> None:
    assert commit_message(discovered(phase=PhaseRef("Phase 3: Story 1", 10)), applied(), run_id=RUN_ID) == (
        "001-celery-chain-workflow: Phase 3: Story 1\n"
        "\n"
        "Finished tasks:\n"
        "- T012 [P] [US1] Create the run model in `moonmind/models/run.py`\n"
        "- T013 [US1] Add the route in api_service/api/routers/workflows.py\n"
        "\n"
        f"MoonMind-Run: {RUN_ID}\n"
        f"MoonMind-Feature: {FEATURE}\n"
        "MoonMind-Phase: Phase 3: Story 1\n"
        f"MoonMind-Patch-SHA256: {'ab' * 32}\n"
    )


@pytest.mark.parametrize("hostile", [HOSTILE, "", "# comment", "---\ndiff", "x" * 9_000, "\ud800"])
def test_git_reads_four_trailers_whatever_the_repository_says(hostile: str) -> None:
    found = discovered(feature_key=hostile, feature_dir=hostile, phase=PhaseRef(hostile, 1))
    got = applied(ticked=(TaskRef(1, hostile, hostile),) * 100)
    message = commit_message(found, got, run_id=RUN_ID)
    names = [line.partition(":")[0] for line in trailers(message)]
    assert names == ["MoonMind-Run", "MoonMind-Feature", "MoonMind-Phase", "MoonMind-Patch-SHA256"]
    assert trailers(message)[0] == f"MoonMind-Run: {RUN_ID}"
    assert len(message.splitlines()[0]) <= 72
    assert message.splitlines()[1] == ""


def test_nobody_is_called_and_no_issue_is_closed() -> None:
    got = applied(ticked=(TaskRef(1, "@team fixes #12 and o/r#3", "T1"),))
    message = commit_message(discovered(phase=PhaseRef("closes #4", 1)), got, run_id=RUN_ID)
    assert re.findall(r"@\w|#\d", message) == []


def test_ticks_on_trust_are_said_to_be_that() -> None:
    message = commit_message(discovered(), applied(unverified=True), run_id=RUN_ID)
    assert "Ticked on trust" in message


def test_a_commit_without_a_finished_task_has_no_empty_list() -> None:
    message = commit_message(discovered(), applied(ticked=()), run_id=RUN_ID)
    assert len(message.split("\n\n")) == 2
