"""
Be the agent of a proof: submit the prompt to the stand-in remote and write down what it gave.

It is run by path as an agent command: in the agent's tree, with the prompt on standard input. So it
needs nothing but the standard library.
"""

import json
import re
import socket
import sys
import time
from pathlib import Path

_MARKER = re.compile(r"mm-run-(?P<run>[0-9a-f-]{36})-\d+-\d+")
_FEATURE = re.compile(r"`(?P<folder>specs/[^`/]+)`")
_BASE = re.compile(r"\b[0-9a-f]{40}\b")


def main() -> int:
    """Submit once, wait for the remote, and leave its number in the tree; 1 when the prompt is not understood."""
    prompt = sys.stdin.read()
    marker, feature, base = _MARKER.search(prompt), _FEATURE.search(prompt), _BASE.search(prompt)
    if marker is None or feature is None or base is None:
        sys.stdout.write("The prompt has no marker, no feature or no base commit.\n")
        return 1
    order = {"run": marker["run"], "marker": marker[0], "base": base[0]}
    # The connection stays open until this process ends; the remote takes that for its life.
    remote = socket.socket(socket.AF_UNIX)
    remote.connect(sys.argv[1])
    remote.sendall(json.dumps(order).encode() + b"\n")
    answer = json.loads(remote.makefile().readline())
    sys.stdout.write(f"Submission {answer['number']} takes {answer['seconds']} s.\n")
    sys.stdout.flush()
    time.sleep(answer["seconds"])
    folder = Path(feature["folder"])
    (folder / "result.txt").write_text(f"submission {answer['number']}\n", encoding="utf-8")
    tasks = folder / "tasks.md"
    tasks.write_bytes(tasks.read_bytes().replace(b"- [ ] T001 ", b"- [X] T001 "))
    sys.stdout.write("Finished.\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
