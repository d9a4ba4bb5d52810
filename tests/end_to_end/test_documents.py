"""The commands of the quickstart do what it says, typed as they stand there."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
QUICKSTART = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")


def blocks() -> list[str]:
    """Return the shell blocks of the quickstart."""
    return re.findall(r"```sh\n(.*?)```", QUICKSTART, flags=re.DOTALL)


@pytest.mark.slow
def test_the_quickstart_as_it_is_typed(tmp_path: Path) -> None:
    serve, plan, take, look, go_on = blocks()
    binaries = tmp_path / "bin"
    binaries.mkdir()
    wrapper = binaries / "moonmind"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m moonmind.cli "$@"\n')
    wrapper.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    environment = {
        "PATH": f"{binaries}:{os.defpath}:/usr/local/bin",
        "HOME": str(tmp_path),
        "MOONMIND_PUBLIC_URL": url,
        "COLUMNS": "100",
    }

    def type_in(text: str) -> str:
        text = text.replace("/tmp/journal", str(tmp_path / "journal"))
        command = ["sh", "-ec", text]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode in {0, 4}, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    settings = [line for line in serve.splitlines() if line.startswith("export SPEC_")]
    up = ["sh", "-ec", "\n".join([*settings, "exec moonmind up"])]
    with (tmp_path / "service.log").open("wb") as log:
        service = subprocess.Popen(up, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        wait_until_ready(url)
        type_in(plan)
        assert "succeeded" in type_in(take)
        assert "journal.txt" in type_in(look)
        ended = type_in(go_on)
        assert "Phase 2" in ended
        assert "#2" in ended
    finally:
        service.terminate()
        service.wait()


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail("the service is not ready")
