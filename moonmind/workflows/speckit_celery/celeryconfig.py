"""Configure Celery so that a message is only a hint: early ack, JSON only, no results, no prefetch."""

from collections.abc import Mapping, Sequence
from typing import Any

from kombu import Exchange, Queue

_MEMORY = "memory://"
_REDIS = ("redis://", "rediss://", "unix://")
_POLLING_SECONDS = 0.02
# A send that fails is left to the sweepers, which try again every second for as long as it takes;
# so each attempt is short, and no thread hangs on a broker that is away.
_BRIEF_RETRIES = {"max_retries": 2, "interval_start": 0.2, "interval_step": 0.2, "interval_max": 0.4}


def celery_settings(*, broker_url: str, queues: Sequence[str]) -> Mapping[str, Any]:
    """
    Return the settings for one broker; the first queue is the default.

    Early ack: the database recovers lost work by leases, so a message need not outlive its
    delivery. Late acks would bring redelivery at the broker's whim and, on RabbitMQ, kill
    workers by `consumer_timeout`. Without a result backend there is no second truth.

    On RabbitMQ a worker prefetches as many messages as it has threads, and those stay
    unacknowledged until a thread is free. Agents leave threads free (slots < threads), so that
    takes no longer than one of the other stages may, which is half of the default
    `consumer_timeout` of thirty minutes; a server with a shorter one needs it raised.
    """
    return {
        "broker_url": broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_retry": True,
        # Without a limit: a worker outlives its broker's absence, however long that is.
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 4,
        "broker_heartbeat": 30,
        "broker_transport_options": _transport_options(broker_url),
        "task_default_queue": queues[0],
        "task_queues": [_queue(name) for name in dict.fromkeys(queues)],
        # A run keeps the queues it was ordered with, and a worker with other settings must be
        # able to send its next stage there. Those queues are declared in the same form.
        "task_create_missing_queues": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_track_started": False,
        "task_send_sent_event": False,
        "worker_send_task_events": False,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": broker_url.startswith(_REDIS),
        # Its pub/sub socket is what notices that a Redis went away under a busy worker.
        "worker_enable_remote_control": not broker_url.startswith(_MEMORY),
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_soft_shutdown_timeout": 30.0,
        "worker_pool": "threads",
        "enable_utc": True,
    }


def _queue(name: str) -> Queue:
    """
    Return one queue, in the form that API and workers declare alike.

    Each has an exchange of its own: without one, Celery would bind all of them to the default
    queue's exchange and key, and every message would reach all. Classic rather than quorum:
    the sweepers send again what a broker loses, so replicas would guard what needs no guard,
    and a single node serves as well as a cluster.
    """
    return Queue(name, Exchange(name, type="direct", durable=True), routing_key=name, durable=True)


def _transport_options(broker_url: str) -> Mapping[str, Any]:
    if broker_url.startswith(_MEMORY):
        # The default of a second would cost a second for each link of the chain.
        return {"polling_interval": _POLLING_SECONDS}
    if broker_url.startswith(_REDIS):
        return {
            "socket_timeout": 5,
            "socket_connect_timeout": 4,
            "socket_keepalive": True,
            "health_check_interval": 10,
            **_BRIEF_RETRIES,
        }
    # With confirms, a message counts as sent only when the broker has it.
    return {"confirm_publish": True, "connect_timeout": 4, "read_timeout": 10, "write_timeout": 10, **_BRIEF_RETRIES}
