"""`moonmind artifacts` and `moonmind download`: stored files, checked, and only where they were wanted."""

import json
from pathlib import Path

import pytest

from moonmind.cli.exits import Exit
from moonmind.testing.api import InMemoryApi, Json
from tests.unit.cli.conftest import Command

_PATCH = b"diff --git a/x b/x\n\x1b[31m+red\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def run_id(api: InMemoryApi) -> str:
    return str(api.add_run(status="succeeded")["id"])


@pytest.fixture
def patch(api: InMemoryApi, run_id: str) -> Json:
    return api.add_artifact(run_id, "codex_patch", "patch.diff", _PATCH)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class TestArtifacts:
    def test_they_are_listed_with_attempt_size_and_digest(self, moon: Command, patch: Json, run_id: str) -> None:
        result = moon("artifacts", run_id)
        assert result.stdout.splitlines()[1].split() == [
            *("codex_patch", "1", str(len(_PATCH)), "B", "patch.diff", str(patch["digest"])[:19]),
        ]
        assert result.stdout.splitlines()[-1] == f"next: moonmind download {run_id} codex_patch"

    def test_json_is_the_list_of_the_service(self, moon: Command, patch: Json, run_id: str) -> None:
        assert json.loads(moon("artifacts", "last", "--json").stdout) == {"runId": run_id, "artifacts": [patch]}

    def test_a_run_without_any_says_so(self, moon: Command, run_id: str) -> None:
        assert "no artifacts yet" in moon("artifacts", run_id).stdout

    @pytest.mark.usefixtures("patch")
    def test_a_narrow_terminal_leaves_out_the_digest(self, moon: Command) -> None:
        assert "sha256" not in moon("artifacts", "last", width=50).stdout


class TestDownload:
    @pytest.mark.usefixtures("patch")
    @pytest.mark.parametrize("name", ["codex_patch", "patch.diff"])
    def test_it_lands_under_its_name_and_nothing_else_is_left(self, moon: Command, name: str) -> None:
        result = moon("download", "last", name)
        assert result.exit_code == 0
        assert Path("patch.diff").read_bytes() == _PATCH
        assert _names(Path()) == ["patch.diff"]
        assert result.stdout.startswith("wrote patch.diff")

    def test_an_id_is_a_name_too(self, moon: Command, patch: Json) -> None:
        assert moon("download", "last", str(patch["id"])).exit_code == 0

    @pytest.mark.usefixtures("patch")
    def test_of_several_the_newest_attempt_wins(self, moon: Command, api: InMemoryApi, run_id: str) -> None:
        api.add_artifact(run_id, "codex_patch", "patch.diff", b"third", attempt=3)
        api.add_artifact(run_id, "codex_patch", "patch.diff", b"second", attempt=2)
        moon("download", "last", "codex_patch", "-o", "new.diff")
        assert Path("new.diff").read_bytes() == b"third"

    @pytest.mark.usefixtures("patch")
    def test_a_file_that_is_there_is_never_overwritten(self, moon: Command) -> None:
        Path("patch.diff").write_text("mine")
        result = moon("download", "last", "codex_patch")
        assert result.exit_code == Exit.USAGE
        assert Path("patch.diff").read_text() == "mine"
        assert "-o" in result.stderr

    @pytest.mark.usefixtures("patch")
    def test_a_link_that_leads_elsewhere_is_not_followed(self, moon: Command, tmp_path: Path) -> None:
        Path("patch.diff").symlink_to(tmp_path / "elsewhere")
        assert moon("download", "last", "codex_patch").exit_code == Exit.USAGE
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.usefixtures("patch")
    def test_a_folder_takes_the_file_under_its_name(self, moon: Command) -> None:
        Path("out").mkdir()
        moon("download", "last", "codex_patch", "-o", "out")
        assert Path("out/patch.diff").read_bytes() == _PATCH

    @pytest.mark.usefixtures("patch")
    def test_a_folder_that_is_not_there_is_named(self, moon: Command) -> None:
        result = moon("download", "last", "codex_patch", "-o", "no/such/file")
        assert result.exit_code == Exit.USAGE
        assert "no folder no/such" in result.stderr

    @pytest.mark.parametrize(
        "name", ["../../up.txt", "/etc/passwd", "..", ".bashrc", "-rf", "a\x1b[31m/b\nc", "C:\\x", "x" * 400]
    )
    def test_a_name_of_the_service_cannot_leave_the_folder(
        self, moon: Command, api: InMemoryApi, run_id: str, tmp_path: Path, name: str
    ) -> None:
        api.add_artifact(run_id, "apply_output", name, b"content")
        result = moon("download", "last", "apply_output")
        assert result.exit_code == 0
        (written,) = _names(Path())
        assert written[0] not in ".-"
        assert len(written) <= 120
        assert _names(tmp_path) == ["here"]
        assert "\x1b" not in result.stdout

    @pytest.mark.parametrize("stored", [b"other bytes of any length", b"diff", b""])
    def test_changed_bytes_are_refused_and_leave_nothing(
        self, moon: Command, api: InMemoryApi, patch: Json, stored: bytes
    ) -> None:
        api.files[str(patch["id"])] = stored
        result = moon("download", "last", "codex_patch")
        assert result.exit_code == Exit.NOT_POSSIBLE
        assert "artifact_digest_mismatch" in result.stderr
        assert _names(Path()) == []

    def test_bytes_without_end_are_not_swallowed(self, moon: Command, api: InMemoryApi, patch: Json) -> None:
        api.files[str(patch["id"])] = _PATCH + b"x" * 10_000_000
        result = moon("download", "last", "codex_patch", "-o", "-")
        assert result.stdout == ""
        assert "longer than" in result.stderr

    def test_a_digest_of_an_unknown_kind_is_refused(self, moon: Command, patch: Json) -> None:
        patch["digest"] = "md5:abc"
        assert moon("download", "last", "codex_patch").exit_code == Exit.NOT_POSSIBLE

    @pytest.mark.usefixtures("patch")
    def test_a_pipe_gets_the_bytes_as_they_are(self, moon: Command) -> None:
        result = moon("download", "last", "codex_patch", "-o", "-")
        assert result.stdout_bytes == _PATCH
        assert result.stderr.startswith("next: moonmind artifacts")

    @pytest.mark.usefixtures("patch")
    def test_json_tells_where_the_file_is(self, moon: Command, run_id: str) -> None:
        document = json.loads(moon("download", "last", "codex_patch", "--json").stdout)
        assert (document["runId"], document["file"]) == (run_id, "patch.diff")

    @pytest.mark.usefixtures("patch")
    def test_json_and_bytes_do_not_share_one_output(self, moon: Command) -> None:
        assert moon("download", "last", "codex_patch", "--json", "-o", "-").exit_code == Exit.USAGE

    @pytest.mark.usefixtures("patch")
    def test_an_unknown_artifact_is_answered_with_those_there_are(self, moon: Command, run_id: str) -> None:
        result = moon("download", "last", "nothing")
        assert result.exit_code == Exit.USAGE
        assert "the types it has: codex_patch" in result.stderr
        assert f"moonmind artifacts {run_id}" in result.stderr
