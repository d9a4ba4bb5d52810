"""Be a worker in a process of its own, so that a test can kill or pause it: FOLDER LEASE_SECONDS PROGRAM..."""

import sys
from datetime import timedelta
from pathlib import Path

from moonmind.agents.supervised import SupervisedOrder, run_supervised
from moonmind.testing.agents import FakeLease


def main() -> None:
    """Run one agent under a lease that nobody renews."""
    folder = Path(sys.argv[1])
    order = SupervisedOrder(
        argv=sys.argv[3:],
        cwd=folder,
        env={},
        stdin_path=Path("/dev/null"),
        log_path=folder / "log.jsonl",
        wall=timedelta(seconds=50),
        idle=timedelta(seconds=50),
    )
    run_supervised(order, lease=FakeLease(float(sys.argv[2])), started=lambda _pid: None)


if __name__ == "__main__":
    main()
