"""Every rule of the patch policy, on the words of a patch and on what git made of them."""

import posixpath
import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.patch_policy import (
    DEFAULT_PROTECTED_PATHS,
    PatchPolicy,
    PatchSummary,
    check_changes,
    check_patch,
    hide_secrets,
    tighten,
)
from moonmind.domain.path_rules import ProtectedPaths, name_fault
from moonmind.domain.results import FileChange

TOKEN = "ghp_" + "a1B2c3D4" * 5
BOMB = b"|AAI;|_|$AAIGr0000"


def quoted(path: str) -> bytes:
    octal = "".join(f"\\{byte:03o}" for byte in path.encode("utf-8", "surrogateescape"))
    return octal.encode()


def adding(path: str, *lines: str, mode: str = "100644") -> bytes:
    name = quoted(path)
    body = "".join(f"+{line}\n" for line in lines).encode()
    hunk = b'--- /dev/null\n+++ "b/%b"\n@@ -0,0 +1,%d @@\n%b' % (name, len(lines), body) if lines else b""
    return b'diff --git "a/%b" "b/%b"\nnew file mode %b\nindex 0000000..1111111\n%b' % (name, name, mode.encode(), hunk)


def change(path: str, *, mode: str = "100644", status: str = "A", binary: bool = False) -> FileChange:
    old = "000000" if status == "A" else mode
    new = "000000" if status == "D" else mode
    return FileChange(path, 1, 0, binary=binary, old_mode=old, new_mode=new, status=status)


def refusal(call: Callable[[], object]) -> WorkflowError:
    with pytest.raises(WorkflowError) as raised:
        call()
    return raised.value


def rule_of_patch(patch: bytes, policy: PatchPolicy | None = None) -> object:
    error = refusal(lambda: check_patch(patch, policy or PatchPolicy()))
    assert error.code is FailureCode.PATCH_REFUSED
    return error.facts["rule"]


def rule_of_change(one: FileChange, policy: PatchPolicy | None = None) -> object:
    error = refusal(lambda: check_changes([one], policy or PatchPolicy()))
    assert error.code is FailureCode.PATCH_REFUSED
    return error.facts["rule"]


NAMES = [
    ("../x", "path-outside"),
    ("a/../../x", "path-outside"),
    ("/etc/passwd", "path-outside"),
    ("a//b", "path-outside"),
    ("a/./b", "path-outside"),
    ("C:/x", "path-outside"),
    (".git/hooks/x", "git-folder"),
    (".GIT/hooks/x", "git-folder"),
    ("src/.git/config", "git-folder"),
    (".git", "git-folder"),
    (".git./x", "git-folder"),
    (".git /x", "git-folder"),
    (".git . /x", "git-folder"),
    ("GIT~1/x", "git-folder"),
    ("git~1", "git-folder"),
    ("git~2/x", "git-folder"),
    (".git::$INDEX_ALLOCATION/x", "git-folder"),
    ("．ｇｉｔ/x", "git-folder"),
    (".g\u200cit/x", "control-character"),
    ("\ufeff.git/x", "control-character"),
    (".gi\u2064t/x", "control-character"),
    ("a\\..\\b", "backslash"),
    ("new\nline", "control-character"),
    ("esc\x1b[2J", "control-character"),
    ("tab\there", "control-character"),
    ("del\x7f", "control-character"),
    ("evil\u202etxt.exe", "control-character"),
    ("not\udcfftext", "control-character"),
    ("line\u2028end", "control-character"),
    ("x" * 256, "name-too-long"),
    ("ä" * 128, "name-too-long"),
    ("d/" * 2100 + "x", "name-too-long"),
    ("dots...", "trailing-dot-or-space"),
    ("space /x", "trailing-dot-or-space"),
    ("GITHUB~1/x", "short-alias"),
    ("GI7EBA~1", "short-alias"),
]


class TestNames:
    @pytest.mark.parametrize(("path", "rule"), NAMES)
    def test_a_hostile_name_is_refused_in_a_patch(self, path: str, rule: str) -> None:
        assert rule_of_patch(adding(path, "x")) == rule

    @pytest.mark.parametrize(("path", "rule"), NAMES)
    def test_a_hostile_name_is_refused_after_applying(self, path: str, rule: str) -> None:
        assert rule_of_change(change(path)) == rule

    @pytest.mark.parametrize(
        "path",
        ["README.md", ".gitignore", ".github/ISSUE_TEMPLATE.md", "src/ä ö.py", "日本語/文.txt", "a.git/x", "~x", "git",
         ".gitkeep", "docs/.git-notes.md", "note: x.md", "x" * 255, "[id].tsx", "a~1.0.0/x", "…", ".env.example"],
    )  # fmt: skip
    def test_an_ordinary_name_is_fine(self, path: str) -> None:
        check_patch(adding(path, "x"), PatchPolicy())
        check_changes([change(path)], PatchPolicy())

    def test_the_old_name_of_a_rename_counts_too(self) -> None:
        patch = b"diff --git a/CODEOWNERS b/x\nsimilarity index 100%\nrename from CODEOWNERS\nrename to x\n"
        assert rule_of_patch(patch) == "protected-path"

    def test_a_refused_name_is_shown_without_its_control_characters(self) -> None:
        detail = refusal(lambda: check_patch(adding("a\x1b[2J\u202eb\nc", "x"), PatchPolicy())).detail
        assert "a\\u001b[2J\\u202eb\\u000ac (control-character)" in detail
        assert detail.isprintable()


class TestProtectedPaths:
    @pytest.mark.parametrize(
        "path",
        [".github/workflows/ci.yml", ".GitHub/Workflows/deep/ci.yml", ".github/workflows", ".github/actions/a.yml",
         "CODEOWNERS", "codeowners", ".github/CODEOWNERS", "docs/CODEOWNERS", ".codex/config.toml", ".codex",
         "sub/.mcp.json", ".claude/settings.local.json", ".vscode/tasks.json", ".envrc", "deep/.envrc", ".gitmodules",
         "sub/.gitmodules", ".moonmind.toml", ".envrc/x"],
    )  # fmt: skip
    def test_are_refused_by_default(self, path: str) -> None:
        assert rule_of_patch(adding(path, "x")) == "protected-path"
        assert rule_of_change(change(path)) == "protected-path"
        assert rule_of_change(change(path, status="D")) == "protected-path"

    @pytest.mark.parametrize(
        "path",
        ["src/CODEOWNERS", ".github/dependabot.yml", "workflows/ci.yml", ".vscode/settings.json", "sub/.moonmind.toml"],
    )
    def test_their_neighbours_are_fine(self, path: str) -> None:
        check_patch(adding(path, "x"), PatchPolicy())

    @pytest.mark.parametrize(
        ("glob", "path", "covered"),
        [
            ("docs", "docs/a/b.md", True),
            ("docs", "src/docs/a.md", True),
            ("/docs", "src/docs/a.md", False),
            ("docs/", "docs/a.md", True),
            ("docs/*.md", "docs/a.md", True),
            ("docs/*.md", "docs/a/b.md", False),
            ("docs/**/*.md", "docs/a/b/c.md", True),
            ("docs/**/*.md", "docs/c.md", True),
            ("**/secret/**", "a/b/secret/c", True),
            ("**/secret/**", "a/secrets/c", False),
            ("*.PEM", "keys/my.pem", True),
            ("a/**/b/**/c", "a/x/b/y/z/b/c", True),
            ("a/**/b/**/c", "a/x/c", False),
            ("src/?.py", "src/a.py", True),
        ],
    )
    def test_globs(self, glob: str, path: str, covered: bool) -> None:
        assert (ProtectedPaths([glob]).match(path) is not None) == covered

    def test_a_hostile_glob_costs_little_time(self) -> None:
        assert ProtectedPaths(["/".join(["**", "a*a*a*a*b"] * 12)]).match("/".join(["a" * 200] * 40)) is None

    def test_an_operator_may_choose_others(self) -> None:
        policy = PatchPolicy(protected_paths=("Makefile",))
        check_patch(adding(".github/workflows/ci.yml", "x"), policy)
        assert rule_of_patch(adding("Makefile", "x"), policy) == "protected-path"


class TestModes:
    @pytest.mark.parametrize(
        ("mode", "rule"),
        [
            ("120000", "symbolic-link"),
            ("160000", "submodule"),
            ("040000", "file-mode"),
            ("100664", "file-mode"),
            ("104755", "file-mode"),
        ],
    )
    def test_only_plain_files_are_made(self, mode: str, rule: str) -> None:
        assert rule_of_patch(adding("x", "/etc/passwd", mode=mode)) == rule
        assert rule_of_change(change("x", mode=mode)) == rule

    def test_a_link_that_is_there_may_not_point_elsewhere(self) -> None:
        patch = b"diff --git a/l b/l\nindex 0..1 120000\n--- a/l\n+++ b/l\n@@ -1 +1 @@\n-a\n+/etc/passwd\n"
        assert rule_of_patch(patch) == "symbolic-link"

    def test_a_link_may_go(self) -> None:
        check_patch(b"diff --git a/l b/l\ndeleted file mode 120000\nindex 1..0\n", PatchPolicy())
        check_changes([change("l", mode="120000", status="D")], PatchPolicy())

    def test_a_file_that_becomes_a_link_is_refused(self) -> None:
        assert rule_of_patch(b"diff --git a/l b/l\nold mode 100644\nnew mode 120000\n") == "symbolic-link"

    def test_a_submodule_may_not_even_go(self) -> None:
        assert rule_of_patch(b"diff --git a/s b/s\ndeleted file mode 160000\nindex 1..0\n") == "submodule"

    def test_scripts_may_become_executable_unless_forbidden(self) -> None:
        patch = b"diff --git a/x b/x\nold mode 100644\nnew mode 100755\n"
        check_patch(patch, PatchPolicy())
        assert rule_of_patch(patch, PatchPolicy(allow_executable=False)) == "executable"
        assert rule_of_change(change("x", mode="100755"), PatchPolicy(allow_executable=False)) == "executable"

    def test_a_script_may_stay_executable(self) -> None:
        check_changes([change("x", mode="100755", status="M")], PatchPolicy(allow_executable=False))


class TestSizes:
    def test_a_large_patch(self) -> None:
        error = refusal(lambda: check_patch(adding("x", "y" * 100), PatchPolicy(max_bytes=100)))
        assert (error.code, error.facts["limit"]) == (FailureCode.PATCH_TOO_LARGE, 100)

    def test_many_files(self) -> None:
        policy = PatchPolicy(max_files=2)
        assert rule_of_patch(b"".join(adding(name, "x") for name in "abc"), policy) == "too-many-files"
        error = refusal(lambda: check_changes([change(name) for name in "abc"], policy))
        assert error.facts["rule"] == "too-many-files"

    def binary(self, path: str, head: bytes, data: bytes = b"McmZQ%00000000") -> bytes:
        name = path.encode()
        return b"diff --git a/%b b/%b\nindex 0..1 100644\nGIT binary patch\n%b\n%b\n\n" % (name, name, head, data)

    def test_a_binary_file_where_none_is_allowed(self) -> None:
        policy = PatchPolicy(allow_binary=False)
        assert rule_of_patch(self.binary("x.png", b"literal 10"), policy) == "binary-file"
        assert rule_of_change(change("x.png", binary=True), policy) == "binary-file"

    def test_a_binary_file_that_unpacks_to_too_much(self) -> None:
        assert rule_of_patch(self.binary("x", b"literal 1048577")) == "binary-too-large"

    def test_many_that_unpack_to_too_much_together(self) -> None:
        patch = b"".join(self.binary(f"f{number}", b"literal 1048576") for number in range(11))
        assert refusal(lambda: check_patch(patch, PatchPolicy())).code is FailureCode.PATCH_TOO_LARGE


class TestSecrets:
    def test_an_added_secret_is_named_by_file_line_and_rule_but_never_shown(self) -> None:
        error = refusal(lambda: check_patch(adding("src/a.py", "x = 1", f"token = '{TOKEN}'"), PatchPolicy()))
        assert "src/a.py:2 (github-token)" in error.detail
        assert (error.facts["file"], error.facts["line"]) == ("src/a.py", 2)
        assert TOKEN[4:] not in f"{error} {error.facts}"

    def test_a_find_is_told_apart_from_other_breaches(self) -> None:
        secret = refusal(lambda: check_patch(adding("a.py", TOKEN), PatchPolicy()))
        other = refusal(lambda: check_patch(adding(".gitattributes", "*.py filter=evil"), PatchPolicy()))
        assert (secret.facts["secret"], other.facts["secret"]) == (True, False)

    def test_hiding_takes_the_added_lines_of_its_file_and_nothing_else(self) -> None:
        patch = adding("a.py", "x = 1", f"token = '{TOKEN}'") + adding("b.py", "y = 2")
        hidden = hide_secrets(patch, PatchPolicy())
        assert TOKEN.encode() not in hidden
        assert hidden.count(b"+[redacted]\n") == 2
        assert hidden.startswith(patch[: patch.index(b"+x = 1")])
        assert hidden.endswith(adding("b.py", "y = 2"))
        assert hide_secrets(adding("b.py", "y = 2"), PatchPolicy()) == adding("b.py", "y = 2")

    def test_a_secret_that_goes_is_welcome(self) -> None:
        patch = b"diff --git a/x b/x\nindex 0..1 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-%b\n+os.environ['T']\n"
        check_patch(patch % TOKEN.encode(), PatchPolicy())

    def test_a_key_over_several_lines_is_one_find(self) -> None:
        lines = [
            "-----BEGIN RSA PRIVATE KEY-----",
            *["MIIEowIBAAKCAQEAq7BFUpkGp3" * 2] * 5,
            "-----END RSA PRIVATE KEY-----",
        ]
        error = refusal(lambda: check_patch(adding("key.pem", "first", *lines), PatchPolicy()))
        assert (error.facts["violations"], error.facts["line"]) == (1, 2)

    def test_a_secret_behind_json_escapes(self) -> None:
        assert rule_of_patch(adding("a.json", '"\\u0067' + TOKEN[1:] + '"')) == "github-token"

    def test_a_known_value_however_written(self) -> None:
        policy = PatchPolicy(known_secrets=("correct horse/battery",))
        assert rule_of_patch(adding("x", "a", "correct%20horse%2Fbattery"), policy) == "known-secret"
        assert "correct horse" not in repr(policy)

    def test_examples_in_documents_are_fine(self) -> None:
        check_patch(adding("README.md", "postgresql://postgres:postgres@db/app", "ghp_" + "x" * 36), PatchPolicy())


class TestAttributes:
    @pytest.mark.parametrize(
        "line", ["*.py filter=evil", "* diff=x", "[attr]m merge=x", "*.txt working-tree-encoding=UTF-7"]
    )
    def test_that_start_programs_are_refused(self, line: str) -> None:
        assert rule_of_patch(adding("sub/.gitattributes", "* text=auto", line)) == "git-attribute"
        check_patch(adding("notes.txt", line), PatchPolicy())

    def test_others_are_fine(self) -> None:
        check_patch(adding(".gitattributes", "* text=auto eol=lf", "*.png binary", "x -diff"), PatchPolicy())


class TestManyViolations:
    def test_all_are_counted_and_the_first_few_are_named(self) -> None:
        patch = b"".join(adding(f".github/workflows/{number}.yml", TOKEN) for number in range(10))
        error = refusal(lambda: check_patch(patch, PatchPolicy()))
        assert error.facts["violations"] == 20
        first = ".github/workflows/0.yml (protected-path: .github/workflows/**)"
        assert error.detail.startswith(f"The patch breaks 20 rules: {first}; ")
        assert error.detail.endswith("; and 15 more.")


class TestTighten:
    def test_takes_away(self) -> None:
        policy = tighten(
            PatchPolicy(),
            b"[patch]\nmax_bytes = 1000\nmax_files = 3\nmax_binary_bytes = 10\nallow_binary = false\n"
            b'allow_executable = false\nprotected_paths = ["infra/**", ".envrc"]\n',
        )
        assert policy == PatchPolicy(
            max_bytes=1000,
            max_files=3,
            max_binary_bytes=10,
            allow_binary=False,
            allow_executable=False,
            protected_paths=(*DEFAULT_PROTECTED_PATHS, "infra/**"),
        )

    def test_gives_nothing_and_says_so(self) -> None:
        strict = PatchPolicy(max_bytes=10, allow_binary=False)
        policy = tighten(strict, b"[patch]\nmax_bytes = 99999999\nallow_binary = true\nprotected_paths = []\n")
        assert (policy.max_bytes, policy.allow_binary, policy.protected_paths) == (10, False, DEFAULT_PROTECTED_PATHS)
        assert [warning.split(",")[0] for warning in policy.warnings] == [
            ".moonmind.toml asks for allow_binary = True",
            ".moonmind.toml asks for max_bytes = 99999999",
        ]

    @pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf# a comment\n", b"[other]\nx = 1\n", b"[patch]\n"])
    def test_a_file_without_a_word_on_patches_changes_nothing(self, content: bytes) -> None:
        assert tighten(PatchPolicy(), content) == PatchPolicy()

    @pytest.mark.parametrize(
        "content",
        [b"[patch", b"\xff", b"patch = 1", b"[patch]\nmax_file = 3", b"[patch]\nmax_files = '3'",
         b"[patch]\nmax_files = true", b"[patch]\nmax_files = -1",
         b"[patch]\nmax_files = 0x" + b"f" * 5000, b"[patch]\nallow_binary = 0",
         b"[patch]\nprotected_paths = 'x'", b"[patch]\nprotected_paths = ['']", b"[patch]\nprotected_paths = [1]",
         b"a = " + b"[" * 5000, b"#" * 9000],
    )  # fmt: skip
    def test_a_file_that_cannot_be_understood_stops_the_run(self, content: bytes) -> None:
        error = refusal(lambda: tighten(PatchPolicy(), content))
        assert error.code is FailureCode.POLICY_FILE_INVALID
        assert ".moonmind.toml in the base commit" in error.detail

    def test_what_it_protects_is_protected(self) -> None:
        policy = tighten(PatchPolicy(), b'[patch]\nprotected_paths = ["infra/**"]')
        assert rule_of_patch(adding("Infra/main.tf", "x"), policy) == "protected-path"


@given(st.binary(max_size=200))
def test_any_policy_file_is_taken_or_refused(content: bytes) -> None:
    try:
        policy = tighten(PatchPolicy(), b"[patch]\n" + content)
    except WorkflowError as error:
        assert error.code is FailureCode.POLICY_FILE_INVALID  # noqa: PT017 - most inputs are refused
        return
    assert set(policy.protected_paths) >= set(DEFAULT_PROTECTED_PATHS)
    assert policy.max_bytes <= PatchPolicy().max_bytes


PARTS = st.one_of(
    st.sampled_from([".git", ".GIT", "..", ".", "", "git~1", ".git ", "．git", "a", "src", "\u200c"]),
    st.text(st.sampled_from(".gGiItT~1 :\\\u200c\ufeffa/"), max_size=8),
    st.text(max_size=6),
)


@given(st.lists(PARTS, min_size=1, max_size=4).map("/".join))
def test_no_path_that_leaves_the_tree_or_reaches_git_is_accepted(path: str) -> None:
    if name_fault(path) is not None:
        return
    assert not posixpath.isabs(path)
    assert posixpath.normpath(path) == path
    assert ".." not in path.split("/")
    for part in path.split("/"):
        seen = "".join(character for character in part if unicodedata.category(character) not in ("Cf", "Cc"))
        on_windows = re.split(r"[:\\]", unicodedata.normalize("NFKC", seen).casefold())[0].rstrip(" .")
        assert on_windows not in (".git", "git~1")


@given(st.binary(max_size=300))
def test_any_patch_is_accepted_or_refused(patch: bytes) -> None:
    try:
        assert isinstance(check_patch(b"diff --git a/x b/x\n" + patch, PatchPolicy()), PatchSummary)
    except WorkflowError as error:
        assert error.code in (FailureCode.PATCH_UNREADABLE, FailureCode.PATCH_REFUSED)  # noqa: PT017 - either is fine


@given(st.lists(PARTS, min_size=1, max_size=3).map("/".join), st.sampled_from(["100644", "120000", "160000", "", "x"]))
def test_any_change_is_accepted_or_refused(path: str, mode: str) -> None:
    try:
        check_changes([change(path, mode=mode)], PatchPolicy())
    except WorkflowError as error:
        assert error.code is FailureCode.PATCH_REFUSED  # noqa: PT017 - either is fine
