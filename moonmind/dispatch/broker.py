"""Ask a broker what it holds, and know the ways in which it fails."""

from typing import Any

from amqp.exceptions import AMQPError, ChannelError, MessageNacked
from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError


def errors_of(app: Celery) -> tuple[type[Exception], ...]:
    """
    Return what sending or asking raises when the broker is away, hangs or refuses.

    Kombu turns most of a transport's errors into its own, but not all on every path.
    """
    connection = app.connection_for_write()
    own = (*connection.connection_errors, *connection.channel_errors)
    return (OperationalError, OSError, AMQPError, MessageNacked, *own)


def messages_in(app: Celery, queue: str) -> int:
    """Return how many messages of a queue no worker has taken; raises one of `errors_of(app)`."""
    try:
        with app.connection_for_write() as connection, connection.channel() as channel:
            declared: Any = Queue(queue, channel=channel).queue_declare(passive=True)
            return int(declared.message_count)
    except ChannelError:
        # A queue that is not there holds no message.
        return 0
