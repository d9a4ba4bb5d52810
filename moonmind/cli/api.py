"""Serve the API alone, for deployments with a broker and workers: `moonmind api`."""

import click
import uvicorn

from api_service.main import create_app_from_environment

# Followers of live updates stay connected until they are told to go.
_SHUTDOWN_SECONDS = 10


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5000, show_default=True, help="Port to listen on.")
def api(host: str, port: int) -> None:
    """Serve the HTTP API; workers run the stages. It waits for the database, and needs no broker to answer."""
    uvicorn.run(
        create_app_from_environment(),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
