"""Git says what went wrong in words; they must lead to the right failure, and carry no secret."""

import pytest

from moonmind.domain.failures import FailureCode
from moonmind.domain.ports import Remote
from moonmind.workspace.git import first_line, safe_words
from moonmind.workspace.process import Ended
from moonmind.workspace.remotes import failure

REMOTE = Remote("octo/demo", "https://forge.invalid/octo/demo.git", ("https",), token="gh/s+ecret")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("remote: Repository not found.\nfatal: repository 'https://x/' not found", FailureCode.REPOSITORY_NOT_FOUND),
        ("fatal: '/x' does not appear to be a git repository", FailureCode.REPOSITORY_NOT_FOUND),
        ("fatal: Authentication failed for 'https://x/'", FailureCode.FORGE_UNAVAILABLE),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", FailureCode.FORGE_UNAVAILABLE),
        ("remote: Permission to octo/demo.git denied to bot.", FailureCode.FORGE_UNAVAILABLE),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 403", FailureCode.FORGE_UNAVAILABLE),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", FailureCode.REPOSITORY_UNREACHABLE),
        (
            "fatal: unable to access 'https://x/': The requested URL returned error: 502",
            FailureCode.REPOSITORY_UNREACHABLE,
        ),
        ("error: RPC failed; curl 56\nfatal: early EOF", FailureCode.REPOSITORY_UNREACHABLE),
        ("", FailureCode.REPOSITORY_UNREACHABLE),
    ],
)
def test_words_become_a_failure_that_names_the_repository(words: str, code: FailureCode) -> None:
    error = failure(REMOTE, Ended(128, b"", words))
    assert error.code is code
    assert "octo/demo" in error.detail


@pytest.mark.parametrize("secret", ["gh/s+ecret", "gh%2Fs%2Becret", "eC1hY2Nlc3MtdG9rZW46Z2gvcytlY3JldA=="])
def test_a_token_is_taken_out_in_each_of_its_forms(secret: str) -> None:
    assert safe_words(f"before {secret} after", REMOTE) == "before *** after"


def test_users_in_addresses_and_control_characters_are_taken_out() -> None:
    assert safe_words("https://me:pass@x/ \033[31m\x9b\n\tok é", None) == "https://***@x/ ?[31m?\n\tok é"


def test_the_telling_line_is_the_first_complaint() -> None:
    assert first_line("hint: try\nerror: this\nfatal: that") == "this"
    assert first_line("\n") == "no words"
