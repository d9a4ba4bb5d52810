"""Serve everything from one process: `moonmind up`."""

import click

from moonmind.config.logging import configure_logging
from moonmind.config.settings import process_environment, read_settings
from moonmind.embedded import EmbeddedService


@click.command()
def up() -> None:
    """Run API, worker and sweeper in this process, over SQLite and without a broker."""
    settings = read_settings()
    configure_logging(settings)
    service = EmbeddedService(settings, process_environment())
    click.echo(f"Serving {settings.public_url} from {settings.data}.", err=True)
    click.echo(f"Your token is in {service.token_file}; the `moonmind` command finds it there by itself.", err=True)
    click.echo("Next, in another terminal: moonmind run OWNER/NAME --watch", err=True)
    service.run()
