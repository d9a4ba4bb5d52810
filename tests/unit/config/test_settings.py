"""Settings come from the environment, then config.toml, then defaults, and a bad one stops the process."""

from pathlib import Path

import pytest

from moonmind.config.settings import Settings, read_settings
from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode

NAMES = [
    ("MOONMIND_DATA_DIR", "elsewhere", "data_dir", Path("elsewhere")),
    ("SPEC_WORKFLOW_CODEX_QUEUE", "fast", "codex_queue", "fast"),
    ("SPEC_WORKFLOW_PUBLISH_QUEUE", "out", "publish_queue", "out"),
    ("SPEC_WORKFLOW_WORKER_THREADS", "12", "worker_threads", 12),
    ("SPEC_WORKFLOW_AGENT_SLOTS", "2", "agent_slots", 2),
    ("SPEC_WORKFLOW_ARTIFACT_ROOT", "/srv/artifacts", "artifact_root", Path("/srv/artifacts")),
    ("MOONMIND_PUBLIC_URL", "https://moonmind.example", "public_url", "https://moonmind.example"),
    ("SPEC_WORKFLOW_AGENT", "command", "agent", "command"),
    ("SPEC_WORKFLOW_AGENT_COMMAND", "sh x", "agent_command", "sh x"),
    ("SPEC_WORKFLOW_FORGE", "local", "forge", "local"),
    ("SPEC_WORKFLOW_LOCAL_FORGE_ROOT", "/srv/git", "local_forge_root", Path("/srv/git")),
    ("SPEC_WORKFLOW_STAGE_LEASE_SECONDS", "120", "lease_seconds", 120),
    ("SPEC_WORKFLOW_HEARTBEAT_SECONDS", "5", "heartbeat_seconds", 5),
    ("SPEC_WORKFLOW_SWEEP_SECONDS", "0.5", "sweep_seconds", 0.5),
    ("SPEC_WORKFLOW_PENDING_GRACE_SECONDS", "8", "pending_grace_seconds", 8),
    ("SPEC_WORKFLOW_POLL_SECONDS", "3", "poll_seconds", 3),
    ("SPEC_WORKFLOW_SUBMIT_TIMEOUT_SECONDS", "60", "submit_timeout_seconds", 60),
    ("SPEC_WORKFLOW_SUBMIT_IDLE_SECONDS", "30", "submit_idle_seconds", 30),
    ("SPEC_WORKFLOW_MAX_TASKS_PER_RUN", "5", "max_tasks_per_run", 5),
    ("SPEC_WORKFLOW_MAX_PATCH_BYTES", "1000", "max_patch_bytes", 1000),
    ("SPEC_WORKFLOW_PROTECTED_PATHS", "a/**, b", "protected_paths", ("a/**", "b")),
    ("STATSD_HOST", "stats", "statsd_host", "stats"),
    ("STATSD_PORT", "8126", "statsd_port", 8126),
    ("SPEC_WORKFLOW_METRICS_PREFIX", "mm", "metrics_prefix", "mm"),
    ("MOONMIND_LOG_FORMAT", "json", "log_format", "json"),
    ("MOONMIND_LOG_LEVEL", "DEBUG", "log_level", "DEBUG"),
]


def read(environment: dict[str, str] | None = None, file: Path = Path("absent.toml")) -> Settings:
    return read_settings(environment or {}, config_file=file)


@pytest.mark.parametrize(("name", "text", "attribute", "value"), NAMES)
def test_each_documented_name_sets_its_value(name: str, text: str, attribute: str, value: object) -> None:
    assert getattr(read({name: text}), attribute) == value


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "SPEC_WORKFLOW_CELERY_BROKER_URL"])
def test_the_broker_has_two_names(name: str) -> None:
    assert read({name: "redis://r/0"}).broker_url.get_secret_value() == "redis://r/0"


def test_defaults_serve_the_embedded_service(tmp_path: Path) -> None:
    settings = read({"MOONMIND_DATA_DIR": str(tmp_path)})
    assert settings.effective_database_url == f"sqlite:///{tmp_path / 'moonmind.db'}"
    assert settings.effective_artifact_root == tmp_path / "artifacts" / "spec_workflows"
    assert settings.effective_forge_root == tmp_path / "forge"
    assert settings.queues == ("codex", "codex")
    assert settings.broker_url.get_secret_value() == "memory://"


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[workflow]\nSPEC_WORKFLOW_CODEX_QUEUE = "file"\nSPEC_WORKFLOW_POLL_SECONDS = 7\n')
    settings = read({"SPEC_WORKFLOW_CODEX_QUEUE": "environment"}, file)
    assert (settings.codex_queue, settings.poll_seconds) == ("environment", 7)


def test_the_second_name_in_the_environment_comes_before_the_first_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('CELERY_BROKER_URL = "redis://file/0"\n')
    settings = read({"SPEC_WORKFLOW_CELERY_BROKER_URL": "redis://environment/0"}, file)
    assert settings.broker_url.get_secret_value() == "redis://environment/0"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read({"SPEC_WORKFLOW_CODEX_QUEUE": ""}).codex_queue == "codex"


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql+psycopg://u:p@db/x\n")
    settings = read({"DATABASE_URL_FILE": str(tmp_path / "url")})
    assert settings.effective_database_url == "postgresql+psycopg://u:p@db/x"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"SPEC_WORKFLOW_WORKER_THREADS": "many"}, "SPEC_WORKFLOW_WORKER_THREADS"),
        ({"SPEC_WORKFLOW_AGENT_SLOTS": "8"}, "SPEC_WORKFLOW_AGENT_SLOTS"),
        ({"SPEC_WORKFLOW_HEARTBEAT_SECONDS": "45"}, "SPEC_WORKFLOW_HEARTBEAT_SECONDS"),
        ({"SPEC_WORKFLOW_FORGE": "cvs"}, "SPEC_WORKFLOW_FORGE"),
        ({"MOONMIND_PUBLIC_URL": "ftp://x"}, "MOONMIND_PUBLIC_URL"),
        ({"DATABASE_URL_FILE": "/nowhere/url"}, "DATABASE_URL_FILE"),
        ({"DATABASE_URL": "mysql://db/x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:///x", "DATABASE_URL_FILE": "/run/x"}, "DATABASE_URL_FILE"),
        ({"CELERY_BROKER_URL": "http://broker"}, "CELERY_BROKER_URL"),
        ({"SPEC_WORKFLOW_AGENT_COMMAND": "sh 'open"}, "SPEC_WORKFLOW_AGENT_COMMAND"),
        ({"SPEC_WORKFLOW_ARTIFACT_ROOT": "s3://bucket/x"}, "SPEC_WORKFLOW_ARTIFACT_ROOT"),
    ],
)
def test_a_bad_value_stops_the_process_and_names_the_variable(environment: dict[str, str], named: str) -> None:
    with pytest.raises(WorkflowError, match=named) as refused:
        read(environment)
    assert refused.value.code is FailureCode.SETTING_INVALID


def test_a_bad_value_is_not_repeated_in_the_message() -> None:
    with pytest.raises(WorkflowError) as refused:
        read({"SPEC_WORKFLOW_WORKER_THREADS": "s3cret"})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("text", ["not toml =", "[workflow]\nUNKNOWN = 1\n"])
def test_a_bad_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(WorkflowError, match=r"config\.toml"):
        read({}, file)


def test_the_template_of_a_deployment_can_be_used_as_it_is() -> None:
    template = Path(__file__).parents[3] / "api_service" / "config.template.toml"
    settings = read({"DATABASE_URL": "postgresql+psycopg://mm@db/mm"}, template)
    assert (settings.queues, settings.forge, settings.agent) == (("codex", "codex"), "local", "command")
