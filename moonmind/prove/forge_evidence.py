"""Read what the forge shows: branches with all commits they ever had, and pull requests."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moonmind.prove.features import Feature, git, repository_path

_NUMBER = re.compile(r"submission (\d+)")


@dataclass(frozen=True)
class Branch:
    """One branch of the service: the commits it was ever at, and what stands on it now."""

    name: str
    commits: Sequence[str]
    beyond_base: int
    """How many commits it has that the base branch lacks."""
    submission: int | None
    """The number of the submission whose result it brings."""


@dataclass(frozen=True)
class Evidence:
    """What the forge shows of one feature."""

    branches: Sequence[Branch]
    pull_requests: Sequence[Mapping[str, object]]


def evidence_of(forge_root: Path, feature: Feature) -> Evidence:
    """Read the branches and pull requests whose name has the feature's key."""
    bare = repository_path(forge_root, feature)
    names = git("-C", str(bare), "for-each-ref", "--format=%(refname:short)", "refs/heads/moonmind").split()
    return Evidence(
        branches=[_branch(bare, feature, name) for name in names if f"/{feature.key}/" in name],
        pull_requests=[record for record in _pull_requests(bare) if f"/{feature.key}/" in str(record["head"])],
    )


def stray_branches(forge_root: Path, features: Sequence[Feature]) -> Iterator[str]:
    """Yield branches that belong to no feature."""
    keys = {feature.key for feature in features}
    for bare in sorted({repository_path(forge_root, feature) for feature in features}):
        names = git("-C", str(bare), "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
        yield from (
            f"{bare.stem}: {name}"
            for name in names
            if name != "main" and not any(f"moonmind/{key}/" in name for key in keys)
        )


def _branch(bare: Path, feature: Feature, name: str) -> Branch:
    log = (bare / "logs" / "refs" / "heads" / name).read_text()
    # Each line begins with the commit before and the commit after.
    commits = list(dict.fromkeys(line.split()[1] for line in log.splitlines()))
    found = _NUMBER.search(git("-C", str(bare), "show", f"{name}:{feature.result_path}"))
    return Branch(
        name=name,
        commits=commits,
        beyond_base=int(git("-C", str(bare), "rev-list", "--count", f"main..{name}")),
        submission=int(found[1]) if found else None,
    )


def _pull_requests(bare: Path) -> Iterator[Mapping[str, object]]:
    for path in sorted(bare.with_suffix(".pulls").glob("*.json")):
        yield json.loads(path.read_text())
