"""Configure Celery so that a message is only a hint: early ack, JSON only, no results, no prefetch."""

from collections.abc import Mapping, Sequence
from typing import Any

from kombu import Queue

_MEMORY = "memory://"
_REDIS = ("redis://", "rediss://", "unix://")
_POLLING_SECONDS = 0.02


def celery_settings(*, broker_url: str, queues: Sequence[str]) -> Mapping[str, Any]:
    """
    Return the settings for one broker; the first queue is the default.

    Early ack: the database recovers lost work by leases, so a message need not outlive its
    delivery. Late acks would bring redelivery at the broker's whim and, on RabbitMQ, kill
    workers by `consumer_timeout`. Without a result backend there is no second truth.
    """
    return {
        "broker_url": broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_timeout": 4,
        "broker_transport_options": _transport_options(broker_url),
        "task_default_queue": queues[0],
        "task_queues": [Queue(name, durable=True) for name in dict.fromkeys(queues)],
        "task_create_missing_queues": False,
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
        "worker_enable_remote_control": not broker_url.startswith(_MEMORY),
        "worker_hijack_root_logger": False,
        "worker_soft_shutdown_timeout": 30.0,
        "worker_pool": "threads",
        "enable_utc": True,
    }


def _transport_options(broker_url: str) -> Mapping[str, Any]:
    if broker_url.startswith(_MEMORY):
        # The default of a second would cost a second for each link of the chain.
        return {"polling_interval": _POLLING_SECONDS}
    if broker_url.startswith(_REDIS):
        return {
            "socket_timeout": 10,
            "socket_connect_timeout": 4,
            "socket_keepalive": True,
            "health_check_interval": 10,
        }
    return {"confirm_publish": True, "connect_timeout": 4, "read_timeout": 20, "write_timeout": 20}
