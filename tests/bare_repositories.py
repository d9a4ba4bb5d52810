"""Make bare repositories for tests, one git process for each commit."""

import subprocess
from collections.abc import Mapping
from pathlib import Path


class BareRepo:
    """A bare repository whose commits need no working tree."""

    def __init__(self, path: Path, *, default_branch: str = "main") -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["git", "init", "--quiet", "--bare", f"--initial-branch={default_branch}", str(path)], check=True
        )

    def commit(self, branch: str, files: Mapping[str, str], *, onto: str | None = None, unrelated: bool = False) -> str:
        """Add a commit to a branch; a new branch begins at `onto`, or at HEAD's branch, unless it is unrelated."""
        tip = self.tip(branch) or self.tip(onto or self.default_branch)
        lines = [
            f"commit refs/heads/{branch}",
            "committer A <a@example.invalid> 1700000000 +0000",
            "data 7",
            "A step.",
        ]
        if tip is not None and not unrelated:
            lines.append(f"from {tip}")
        for path, content in files.items():
            lines += [f"M 100644 inline {path}", f"data {len(content.encode())}", content]
        self.git("fast-import", "--quiet", "--force", stdin="\n".join([*lines, ""]))
        sha = self.tip(branch)
        assert sha is not None
        return sha

    def point(self, branch: str, sha: str) -> None:
        """Move a branch to a commit."""
        self.git("update-ref", f"refs/heads/{branch}", sha)

    def delete(self, branch: str) -> None:
        """Delete a branch."""
        self.git("update-ref", "-d", f"refs/heads/{branch}")

    def tip(self, branch: str) -> str | None:
        """Return the commit of a branch."""
        return self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}").strip() or None

    def show(self, path: str, *, of: str = "main") -> str:
        """Return a file's text."""
        return self.git("show", f"{of}:{path}")

    @property
    def default_branch(self) -> str:
        """The branch that HEAD names."""
        return self.git("symbolic-ref", "--short", "HEAD").strip()

    def git(self, *arguments: str, stdin: str = "") -> str:
        """Run git in the repository."""
        done = subprocess.run(
            ["git", f"--git-dir={self.path}", *arguments], input=stdin, check=True, capture_output=True, text=True
        )
        return done.stdout
