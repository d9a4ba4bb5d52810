"""
Run a command only as long as the process that started it lives.

It is run by path, with the command as its arguments and a pipe on standard input. The pipe closes when
the other end does, however that ends, so an interrupted or killed demonstration leaves nothing behind.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence


def run_guarded(command: Sequence[str], *, grace: float) -> int:
    """
    Run a command until it ends or standard input does; return its exit status.

    When standard input ends, the command is asked to end, and killed after `grace` seconds.
    """
    # A group of its own, so that whatever it started and left behind can be ended with it.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    threading.Thread(target=_stop_at_end_of_input, args=(child, grace), daemon=True).start()
    status = child.wait()
    _end_group(child.pid)
    return status


def _stop_at_end_of_input(child: subprocess.Popen[bytes], grace: float) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    child.terminate()
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        _end_group(child.pid)


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def main() -> int:
    """Guard the command in the arguments."""
    # The terminal's Ctrl-C and a hang-up are for the process at the other end of the pipe.
    for unwanted in (signal.SIGINT, signal.SIGHUP):
        signal.signal(unwanted, signal.SIG_IGN)
    parser = argparse.ArgumentParser(description="Run a command as long as standard input is open.")
    parser.add_argument("--grace", type=float, default=20.0, help="seconds from asking to killing (default: 20)")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    return run_guarded(arguments.command, grace=arguments.grace)


if __name__ == "__main__":
    raise SystemExit(main())
