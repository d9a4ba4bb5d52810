"""Canaries in every form that logs and artifacts may bring them in."""

import base64
import html
import io
import json
import random
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind.domain.secrets import SECRET_RULES
from moonmind.telemetry.redaction import Redactor

CANARY = "cänary/with+odd&chars=%<1'2\"3>"
PLAIN_CANARY = "canary-9f8e7d6c5b4a"


def noise(size: int) -> bytes:
    words = [b"the ", b"task-runner ", b"risk-free ", b'{"type":"item"}\n', b"https://example.org/a ", b"\\n", b"\xff"]
    chooser = random.Random(1)  # noqa: S311 - made-up text
    return b"".join(chooser.choice(words) for _ in range(size // 8))[:size]


def streamed(redactor: Redactor, data: bytes) -> bytes:
    target = io.BytesIO()
    redactor.file(io.BytesIO(data), target)
    return target.getvalue()


class TestKnownSecrets:
    @pytest.mark.parametrize(
        "written",
        [
            CANARY,
            json.dumps({"a": CANARY}),
            json.dumps({"a": CANARY}, ensure_ascii=False),
            json.dumps(json.dumps({"a": CANARY})),
            json.dumps(CANARY).replace("/", "\\/"),
            json.dumps(CANARY).replace("&", "\\u0026").replace("<", "\\u003C").replace("+", "\\u002b"),
            quote(CANARY),
            quote(CANARY, safe=""),
            quote_plus(CANARY),
            quote(CANARY, safe="").lower(),
            html.escape(CANARY),
            base64.b64encode(CANARY.encode()).decode(),
            base64.b64encode(f"x-access-token:{CANARY}".encode()).decode(),
            base64.urlsafe_b64encode(f"user:{CANARY}:more".encode()).decode(),
        ],
    )
    def test_are_found_however_they_are_written(self, written: str) -> None:
        text = Redactor([CANARY]).text(f"before {written} after")
        assert text.startswith("before ")
        assert text.endswith(" after")
        assert "[redacted:known-secret]" in text
        assert "odd" not in text

    def test_are_found_in_the_middle_of_a_word(self) -> None:
        assert Redactor([PLAIN_CANARY]).text(f"x{PLAIN_CANARY}y") == "x[redacted:known-secret]y"

    def test_a_short_word_is_left_alone(self) -> None:
        assert Redactor(["moon", ""]).text("the moon is up") == "the moon is up"

    def test_one_inside_another_leaves_no_remains(self) -> None:
        redactor = Redactor(["hunter2", "hunter2-extended-edition"])
        assert redactor.text("it is hunter2-extended-edition!") == "it is [redacted:known-secret]!"

    def test_json_stays_json(self) -> None:
        line = json.dumps({"url": f"https://me:{PLAIN_CANARY}@host/x", "list": [PLAIN_CANARY, 1]})
        assert PLAIN_CANARY not in str(json.loads(Redactor([PLAIN_CANARY]).text(line)))


LETTERS = "aB3dE5gH7jK9" * 30
EXAMPLES = [
    ("github-token", "ghp_" + LETTERS[:36]),
    ("github-token", "ghs_" + LETTERS[:36]),
    ("github-token", "github_pat_" + LETTERS[:22] + "_" + LETTERS[:59]),
    ("gitlab-token", "glpat-" + LETTERS[:20]),
    ("anthropic-key", "sk-ant-api03-" + LETTERS[:80]),
    ("openai-key", "sk-proj-" + LETTERS[:60]),
    ("openai-key", "sk-svcacct-" + LETTERS[:60]),
    ("openai-key", "sk-" + LETTERS[:48]),
    ("moonmind-token", "mm_" + LETTERS[:12] + "_" + LETTERS[:43]),
    ("aws-key", "AKIA" + "Q3RT5UVW7XYZ2ABC"),
    ("google-key", "AIza" + LETTERS[:35]),
    ("slack-token", "xoxb-" + LETTERS[:40]),
    ("stripe-key", "sk_live_" + LETTERS[:24]),
    ("npm-token", "npm_" + LETTERS[:36]),
    ("pypi-token", "pypi-AgEIcHlwaS5vcmc" + LETTERS[:80]),
    ("huggingface-token", "hf_" + LETTERS[:34]),
    ("sendgrid-key", "SG." + LETTERS[:22] + "." + LETTERS[:43]),
    ("json-web-token", "eyJ" + LETTERS[:30] + ".eyJ" + LETTERS[:60] + "." + LETTERS[:43]),
    (
        "private-key",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{LETTERS[:70]}\n{LETTERS[:9]}=\n-----END OPENSSH PRIVATE KEY-----",
    ),
]


class TestShapes:
    @pytest.mark.parametrize(("rule", "secret"), EXAMPLES)
    @pytest.mark.parametrize(
        "place", ["{}", "a {} b", "key={};", '"{}"', "\\n{}\\n", "%3D{}", "({})", "\n-{}\n", "{}."]
    )
    def test_are_replaced_and_the_rest_is_kept(self, rule: str, secret: str, place: str) -> None:
        assert Redactor().text(place.format(secret)) == place.format(f"[redacted:{rule}]")

    @pytest.mark.parametrize(("rule", "secret"), EXAMPLES)
    def test_are_found_inside_json(self, rule: str, secret: str) -> None:
        line = Redactor().text(json.dumps({"output": f"first\n{secret}\nlast"}))
        assert json.loads(line) == {"output": f"first\n[redacted:{rule}]\nlast"}

    def test_a_password_in_an_address_goes_and_the_address_stays(self) -> None:
        text = Redactor().text("postgresql://moon:s3cr3t@db:5432/x and redis://:pw@cache and amqp://a:b@c")
        hidden = "[redacted:url-password]"
        assert text == f"postgresql://moon:{hidden}@db:5432/x and redis://:{hidden}@cache and amqp://a:{hidden}@c"

    def test_an_authorization_header_loses_its_value(self) -> None:
        header = "> Authorization: Basic dXNlcjpwYXNzd29yZA==\n> Accept: */*"
        assert Redactor().text(header) == "> Authorization: Basic [redacted:authorization]\n> Accept: */*"

    def test_a_key_that_was_cut_off_is_hidden_as_far_as_it_goes(self) -> None:
        text = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA" * 4 + "\nand then words"
        assert Redactor().text(text) == "[redacted:private-key]\nand then words"

    @pytest.mark.parametrize(
        "text",
        [
            "task-1234567890123456789012345678901234567890",
            "disk-proj-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "comm_counter_of_something_that_has_a_very_long_name_indeed",
            "http://localhost:8080/a@b",
            "https://github.com/owner/name.git",
            "git@github.com:owner/name.git",
            "2026-01-01T00:00:00Z sk-",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            '"integrity": "sha512-aB3dE5gH7jK9aB3dE5gH7jK9aB3dE5gH7jK9aB3dE5gH7jK9=="',
        ],
    )
    def test_ordinary_text_is_left_alone(self, text: str) -> None:
        assert Redactor().text(text) == text

    def test_every_rule_has_a_name_that_fits_the_mark(self) -> None:
        assert all(rule.name.replace("-", "").isalpha() for rule in SECRET_RULES)


class TestStreams:
    def test_are_redacted_as_a_whole_would_be(self) -> None:
        redactor = Redactor([CANARY, PLAIN_CANARY])
        secrets = [secret.encode() for _, secret in EXAMPLES]
        secrets += [CANARY.encode(), PLAIN_CANARY.encode(), b"postgresql://u:p4ssw0rd@h", b"\\u0067hp_" + b"a1" * 20]
        data = bytearray(noise(5 * 1024 * 1024))
        chooser = random.Random(2)  # noqa: S311 - made-up places
        for place in (2**20, 2**20 - 123_000, 2 * 2**20 - 122_880, 3 * 2**20 - 60, *range(10_000, 4 * 2**20, 97_003)):
            secret = b" " + chooser.choice(secrets) + b" "
            start = place - chooser.randrange(len(secret))
            data[start : start + len(secret)] = secret
        whole = redactor.data(bytes(data))
        assert streamed(redactor, bytes(data)) == whole
        assert [secret for secret in secrets if secret in whole] == []

    @pytest.mark.parametrize("before", [0, 7, 23, 44, 50])
    def test_a_secret_across_the_end_of_a_chunk_is_found(self, before: int) -> None:
        secret = b"ghp_" + b"a1B2c3D4" * 5
        data = noise(2**20 - before) + b" " + secret + b" " + noise(300_000)
        assert secret not in streamed(Redactor(), data)
        assert b"[redacted:github-token]" in streamed(Redactor(), data)

    def test_an_empty_one_stays_empty(self) -> None:
        assert streamed(Redactor(), b"") == b""


@given(st.binary(max_size=400))
def test_any_bytes_can_be_redacted_and_twice_is_once(data: bytes) -> None:
    redactor = Redactor([PLAIN_CANARY])
    once = redactor.data(data)
    assert redactor.data(once) == once
    assert streamed(redactor, data) == once


@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from([secret for _, secret in EXAMPLES]))
def test_a_secret_between_any_words_never_stays(before: str, after: str, secret: str) -> None:
    assert secret not in Redactor().text(f"{before} {secret} {after}")


@given(st.text(max_size=60), st.text(min_size=6, max_size=40), st.text(max_size=60))
def test_a_known_value_between_any_words_never_stays(before: str, value: str, after: str) -> None:
    assert value not in Redactor([value]).text(before + value + after).replace("[redacted:known-secret]", "")
