"""What a finished stage did, in a few words."""

import pytest

from moonmind.cli.stage_words import stage_words


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        (
            "discover",
            {"taskIds": ["T1", "T2"], "counts": {"total": 17, "done": 6}},
            "2 tasks to do, 6 of 17 done before",
        ),
        ("discover", {"result": "no_work"}, ""),
        ("submit", {"lastMessage": "\nAll \x1b[31mdone.\nMore."}, r"All \x1b[31mdone."),
        ("submit", {"lastMessage": None}, ""),
        (
            "apply",
            {"files": [{}], "insertions": 115, "deletions": 4, "ticked": ["T1"]},
            "1 file, +115 -4, 1 task ticked",
        ),
        (
            "apply",
            {"files": [{}, {}], "insertions": 1, "deletions": 0, "ticked": [1, 2], "unverified": True},
            "2 files, +1 -0, 2 tasks ticked on trust",
        ),
        ("apply", {"files": "many"}, ""),
        ("publish", {"prNumber": 7, "outcome": "pull_request_updated"}, "pull request #7 updated"),
        ("publish", {}, ""),
        ("finalize", {"outcome": "pull_request_created"}, ""),
        ("a stage of a newer service", {"x": 1}, ""),
    ],
)
def test_a_stage_tells_what_it_did(name: str, payload: dict[str, object], words: str) -> None:
    assert stage_words(name, payload) == words
