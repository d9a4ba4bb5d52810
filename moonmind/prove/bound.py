"""
Become another program that cannot outlive the process that started it.

It is run by path, with the process id of its starter, a user or a dash, and the program as arguments.
It turns into the program and keeps its process id, so that a fault hits the program itself and not a
guardian of it.
"""

import ctypes
import os
import pwd
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the user, ask for SIGKILL at the starter's death, then turn into the program."""
    starter, user, *program = sys.argv[1:]
    if user != "-":
        # Here and not by whoever starts this: the other user may have no way to this file.
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(starter):
        # It died before it could be watched.
        raise SystemExit(1)
    os.execvp(program[0], program)  # noqa: S606 - a list of arguments of our own, no shell


if __name__ == "__main__":
    main()
