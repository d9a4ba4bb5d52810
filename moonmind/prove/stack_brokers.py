"""Start a stack of separate processes: a broker, PostgreSQL, the API and some workers."""

from collections.abc import Mapping

from api_service.auth.tokens import Role, TokenRepository
from api_service.db.schema import upgrade_schema
from api_service.db.session import Database
from moonmind.prove.faults import StackName
from moonmind.prove.folder import ProofFolder
from moonmind.prove.postgresql import start_postgresql
from moonmind.prove.processes import Supervised, Supervisor, wait_until
from moonmind.prove.rabbitmq import start_rabbitmq
from moonmind.prove.redis_server import start_redis
from moonmind.prove.stack import BrokerServer, Stack, local_url, moonmind_command, service_environment

_START_SECONDS = 60.0
_WORKERS = 3
# Small, so that a stage often waits for its turn in the broker, where faults can reach it.
_THREADS = {"SPEC_WORKFLOW_WORKER_THREADS": "3", "SPEC_WORKFLOW_AGENT_SLOTS": "2"}


def start_with_broker(
    name: StackName, folder: ProofFolder, supervisor: Supervisor, surroundings: Mapping[str, str]
) -> Stack:
    """Start all processes and wait until they serve; raises `proof_not_possible` with what is missing."""
    broker = _start_broker(name, folder, supervisor, surroundings)
    server = start_postgresql(folder, supervisor)
    token = _prepare(server.url)
    url = local_url()
    environment = {
        **service_environment(folder, surroundings, url=url),
        **_THREADS,
        "DATABASE_URL": server.url,
        "CELERY_BROKER_URL": broker.url,
    }
    port = url.rpartition(":")[2]
    api = Supervised(moonmind_command("api", "api", "--port", port, environment=environment), folder)
    numbers = range(1, _WORKERS + 1)
    workers = [
        Supervised(moonmind_command(f"worker-{number}", "worker", environment=environment), folder)
        for number in numbers
    ]
    for process in (api, *workers):
        supervisor.watch(process)
    stack = Stack(folder, supervisor, url, lambda: token, server.url, workers, api, broker, server)
    wait_until(stack.is_ready, api, seconds=_START_SECONDS)
    wait_until(lambda: {worker.pid for worker in workers} <= set(stack.holders()), workers[0], seconds=_START_SECONDS)
    return stack


def _start_broker(
    name: StackName, folder: ProofFolder, supervisor: Supervisor, surroundings: Mapping[str, str]
) -> BrokerServer:
    if name is StackName.REDIS:
        return start_redis(folder, supervisor, surroundings)
    return start_rabbitmq(folder, supervisor, surroundings)


def _prepare(database_url: str) -> str:
    """Make the tables and a token; returns the token's text."""
    database = Database(database_url)
    upgrade_schema(database)
    with database.transaction() as session:
        token = TokenRepository(session, database.clock).create(name="proof", role=Role.OPERATOR)
    database.dispose()
    return token.text
