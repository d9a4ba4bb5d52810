"""Names reach git's command line, so what is a name is decided before."""

import subprocess

import pytest

from moonmind.domain.refs import is_branch_name, is_commit_id

GOOD = ["main", "moonmind/001-login/phase-1", "a.b", "é", "x@y", "a" * 244, "refs/heads/main", "+x", "#1"]
BAD = [
    *("", "-x", "--help", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "a..b", "@", "HEAD"),
    *("a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a@{1}", "a\nb", "a\0b", "a\x7f", "a" * 245, "a\u2028b"),
]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_that_git_takes_is_one(name: str) -> None:
    assert is_branch_name(name)
    subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=True)


@pytest.mark.parametrize("name", BAD)
def test_anything_else_is_none(name: str) -> None:
    assert not is_branch_name(name)


def test_a_commit_is_named_by_its_whole_id() -> None:
    assert is_commit_id("0" * 40)
    assert is_commit_id("f" * 64)
    for text in ("", "main", "0" * 39, "0" * 41, "F" * 40, "HEAD~1", "-" * 40, "0" * 40 + "\n"):
        assert not is_commit_id(text)
