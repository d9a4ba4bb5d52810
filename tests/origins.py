"""Make real bare repositories on disk, as a forge would hold them, with plain git."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from moonmind.domain.ports import Remote

_IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "Somebody"), ("EMAIL", "somebody@example.org"), ("DATE", "1700000000 +0000"))
}
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **_IDENTITY,
}


def plain_git(*arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> str:
    """Run git as a person would, and return what it says."""
    done = subprocess.run(["git", *arguments], input=stdin, env=_ENVIRONMENT, cwd=cwd, capture_output=True, check=True)
    return done.stdout.decode().strip()


class Origin:
    """A bare repository on the forge's side; somebody else works on it through these verbs."""

    def __init__(self, folder: Path, repository: str = "octo/demo") -> None:
        self.folder = folder / f"{repository}.git"
        self.repository = repository
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        plain_git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(self.folder))

    @property
    def remote(self) -> Remote:
        """How git reaches it."""
        return Remote(self.repository, f"file://{self.folder}", ("file",))

    def commit(self, branch: str, files: Mapping[str, bytes | None], *, modes: Mapping[str, str] | None = None) -> str:
        """
        Commit to a branch and return the id.

        The files replace those of the branch's tip; None removes one. The content of a path with
        mode 160000 is the id of the submodule's commit.
        """
        stream = f"commit refs/heads/{branch}\ncommitter Somebody <somebody@example.org> 1700000000 +0000\n".encode()
        stream += b"data 1\nx\n"
        if self.tip(branch):
            stream += f"from refs/heads/{branch}^0\n".encode()
        for path, content in files.items():
            mode = (modes or {}).get(path, "100644")
            if content is None:
                stream += f"D {path}\n".encode()
            elif mode == "160000":
                stream += f"M {mode} {content.decode()} {path}\n".encode()
            else:
                stream += f"M {mode} inline {path}\ndata {len(content)}\n".encode() + content + b"\n"
        self.git("fast-import", "--quiet", stdin=stream)
        tip = self.tip(branch)
        assert tip is not None
        return tip

    def tip(self, branch: str) -> str | None:
        """Return the commit of a branch."""
        return self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}") or None

    def delete_branch(self, branch: str) -> None:
        """Delete a branch."""
        self.git("update-ref", "-d", f"refs/heads/{branch}")

    def file(self, commit: str, path: str) -> bytes:
        """Return a file of a commit."""
        return subprocess.run(
            ["git", f"--git-dir={self.folder}", "cat-file", "blob", f"{commit}:{path}"],
            env=_ENVIRONMENT,
            capture_output=True,
            check=True,
        ).stdout

    def install_hook(self, name: str, script: str) -> None:
        """Let the forge run a script; what it prints reaches whoever pushes."""
        hook = self.folder / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{script}\n")
        hook.chmod(0o755)

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git in the repository."""
        return plain_git(f"--git-dir={self.folder}", *arguments, stdin=stdin)
