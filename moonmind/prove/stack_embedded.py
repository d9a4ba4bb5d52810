"""Start the embedded stack: one process with everything in it, over SQLite."""

from collections.abc import Mapping

from moonmind.prove.folder import ProofFolder
from moonmind.prove.processes import Supervised, Supervisor, wait_until
from moonmind.prove.stack import Stack, local_url, moonmind_command, service_environment

_START_SECONDS = 60.0


def start_embedded(folder: ProofFolder, supervisor: Supervisor, surroundings: Mapping[str, str]) -> Stack:
    """Start `moonmind up` and wait until it serves; raises `proof_not_possible`."""
    url = local_url()
    environment = service_environment(folder, surroundings, url=url)
    service = supervisor.watch(Supervised(moonmind_command("service", "up", environment=environment), folder))
    stack = Stack(
        folder=folder,
        supervisor=supervisor,
        url=url,
        token=lambda: (folder.data / "operator.token").read_text(encoding="utf-8").strip(),
        database_url=f"sqlite:///{folder.data / 'moonmind.db'}",
        workers=[service],
        api=service,
    )
    wait_until(stack.is_ready, service, seconds=_START_SECONDS)
    return stack
