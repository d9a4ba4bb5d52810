"""Which shapes are reason to refuse a patch, and which are only examples."""

import time

import pytest

from moonmind.domain.secrets import LONGEST_SECRET_BYTES, Unescaped, find_certain_secrets, find_secrets, spellings

TOKEN = b"ghp_" + b"a1B2c3D4" * 5


def certain(text: bytes) -> list[str]:
    return [secret.rule.name for secret in find_certain_secrets(text)]


class TestCertainSecrets:
    def test_a_token_is_one(self) -> None:
        assert certain(b"token = '" + TOKEN + b"'") == ["github-token"]

    def test_a_password_in_an_address_is_one(self) -> None:
        assert certain(b"postgresql://app:vT9xQ2mL@db/app") == ["url-password"]

    @pytest.mark.parametrize(
        "text",
        [
            b"ghp_" + b"x" * 36,
            b"sk-proj-your-key-goes-here-0000000",
            b"AKIAIOSFODNN7EXAMPLE",
            b"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            b"postgresql://postgres:postgres@localhost/app",
            b"postgresql://app:${DB_PASSWORD}@db/app",
            b"postgresql://app:{password}@db/app",
            b"postgresql://user:password@host/app",
            b"https://user:<your token>@host",
            b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
            b"-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
            b'if "-----BEGIN PRIVATE KEY-----" in text:',
            b"sk_test_" + b"4eC39HqLyjWDarjtT1zdp7dc",
            b"Authorization: Bearer a-token-of-a-test",
        ],
    )
    def test_placeholders_and_published_examples_are_none(self, text: bytes) -> None:
        assert certain(text) == []


class TestHostileText:
    @pytest.mark.parametrize(
        "piece",
        [b"eyJ-", b"eyJ.", b"ghp_", b"sk-", b"sk-proj-", b"mm_a_", b"://a:", b"://", b"-----BEGIN PRIVATE KEY-----",
         b"-----BEGIN ", b"-----BEGIN A PRIVATE KEY-----AAAAAAAAAAAAAAAA", b"SG.aaaaaaaaaaaaaaaa.", b"authorization: ",
         b"eyJaaaaaaaa.eyJaaaaaaaa", b"\\u0041", b"xoxb-", b"a"],
    )  # fmt: skip
    def test_costs_linear_time(self, piece: bytes) -> None:
        data = piece * (1_000_000 // len(piece))
        started = time.process_time()
        find_secrets(data)
        find_secrets(Unescaped(data).data)
        assert time.process_time() - started < 3

    @pytest.mark.parametrize(
        "text",
        [
            b"eyJ" + b"a" * 99_999 + b".eyJ" + b"b" * 99_999 + b"." + b"c" * 99_999,
            b"eyJ" + b"a" * 4_000 + b".eyJ" + b"b" * 8_000 + b"." + b"c" * 99_999,
            b"-----BEGIN PRIVATE KEY-----\n" + (b"A" * 64 + b"\n") * 9_999,
            b"authorization: bearer " + b"a" * 99_999,
            b"github_pat_" + b"a" * 99_999,
        ],
    )
    def test_no_find_is_longer_than_a_stream_keeps_in_hand(self, text: bytes) -> None:
        assert all(found.end - found.start <= LONGEST_SECRET_BYTES for found in find_secrets(text))


class TestUnescaped:
    def test_leads_back_to_the_original(self) -> None:
        text = Unescaped(b"a\\u0067hp_\\u002Bz")
        assert (text.changed, text.data) == (True, b"aghp_+z")
        assert [text.original(position) for position in range(7)] == [0, 1, 7, 8, 9, 10, 16]
        assert text.original(7) == 17

    def test_leaves_other_characters_alone(self) -> None:
        assert not Unescaped(b"\\u00e9 \\u001b \\u2028").changed


def test_spellings_hold_the_value_itself() -> None:
    assert b"some secret" in spellings("some secret")
