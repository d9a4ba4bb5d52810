"""Read everything an operator can set: environment, then `config.toml`, then defaults."""

import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from moonmind.domain.errors import WorkflowError
from moonmind.domain.failures import FailureCode
from moonmind.domain.patch_policy import DEFAULT_PROTECTED_PATHS

CONFIG_FILE = "config.toml"
Seconds = Annotated[float, Field(gt=0)]
Names = Annotated[tuple[str, ...], NoDecode]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/")
_DATABASES = ("sqlite:///", "postgresql+psycopg://")
_BROKERS = ("memory://", "redis://", "rediss://", "amqp://", "amqps://")


class Settings(BaseSettings):
    """
    All settings under the names that operators know; frozen.

    Built by entry points and handed on as values: nothing below reads the environment.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    data_dir: Path = Field(Path("var"), validation_alias="MOONMIND_DATA_DIR")
    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    broker_url: SecretStr = Field(
        SecretStr("memory://"),
        validation_alias=AliasChoices("CELERY_BROKER_URL", "SPEC_WORKFLOW_CELERY_BROKER_URL"),
    )
    codex_queue: str = Field("codex", validation_alias="SPEC_WORKFLOW_CODEX_QUEUE", min_length=1)
    publish_queue: str | None = Field(None, validation_alias="SPEC_WORKFLOW_PUBLISH_QUEUE")
    worker_threads: int = Field(8, validation_alias="SPEC_WORKFLOW_WORKER_THREADS", ge=2)
    agent_slots: int = Field(4, validation_alias="SPEC_WORKFLOW_AGENT_SLOTS", ge=1)
    artifact_root: Path | None = Field(None, validation_alias="SPEC_WORKFLOW_ARTIFACT_ROOT")
    public_url: str = Field(
        "http://127.0.0.1:5000", validation_alias="MOONMIND_PUBLIC_URL", pattern=r"^https?://[^/\s]+"
    )

    agent: Literal["codex_exec", "codex_cloud", "command"] = Field("codex_exec", validation_alias="SPEC_WORKFLOW_AGENT")
    agent_command: str = Field("", validation_alias="SPEC_WORKFLOW_AGENT_COMMAND")
    forge: Literal["github", "local"] = Field("github", validation_alias="SPEC_WORKFLOW_FORGE")
    local_forge_root: Path | None = Field(None, validation_alias="SPEC_WORKFLOW_LOCAL_FORGE_ROOT")

    lease_seconds: Seconds = Field(60, validation_alias="SPEC_WORKFLOW_STAGE_LEASE_SECONDS")
    heartbeat_seconds: Seconds = Field(15, validation_alias="SPEC_WORKFLOW_HEARTBEAT_SECONDS")
    sweep_seconds: Seconds = Field(1, validation_alias="SPEC_WORKFLOW_SWEEP_SECONDS")
    pending_grace_seconds: Seconds = Field(60, validation_alias="SPEC_WORKFLOW_PENDING_GRACE_SECONDS")
    poll_seconds: Seconds = Field(15, validation_alias="SPEC_WORKFLOW_POLL_SECONDS")
    submit_timeout_seconds: Seconds = Field(3600, validation_alias="SPEC_WORKFLOW_SUBMIT_TIMEOUT_SECONDS")
    submit_idle_seconds: Seconds = Field(300, validation_alias="SPEC_WORKFLOW_SUBMIT_IDLE_SECONDS")
    max_tasks_per_run: int = Field(25, validation_alias="SPEC_WORKFLOW_MAX_TASKS_PER_RUN", ge=1)
    max_patch_bytes: int = Field(10 * 1024 * 1024, validation_alias="SPEC_WORKFLOW_MAX_PATCH_BYTES", ge=1)
    protected_paths: Names = Field(DEFAULT_PROTECTED_PATHS, validation_alias="SPEC_WORKFLOW_PROTECTED_PATHS")

    statsd_host: str | None = Field(None, validation_alias="STATSD_HOST")
    statsd_port: int = Field(8125, validation_alias="STATSD_PORT", ge=1, le=65535)
    metrics_prefix: str = Field("moonmind.spec_workflow", validation_alias="SPEC_WORKFLOW_METRICS_PREFIX")
    log_format: Literal["auto", "text", "json"] = Field("auto", validation_alias="MOONMIND_LOG_FORMAT")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", validation_alias="MOONMIND_LOG_LEVEL")

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_scheme(value.get_secret_value(), _DATABASES)
        return value

    @field_validator("broker_url")
    @classmethod
    def _is_broker(cls, value: SecretStr) -> SecretStr:
        _check_scheme(value.get_secret_value(), _BROKERS)
        return value

    @field_validator("agent_command")
    @classmethod
    def _is_command(cls, value: str) -> str:
        try:
            shlex.split(value)
        except ValueError as error:
            message = f"cannot be split into words: {error}"
            raise ValueError(message) from error
        return value

    @field_validator("artifact_root", "data_dir", "local_forge_root")
    @classmethod
    def _is_folder(cls, value: Path | None) -> Path | None:
        if value is not None and _SCHEME.match(str(value)):
            message = "must be a folder; this version keeps files on a disk alone"
            raise ValueError(message)
        return value

    @field_validator("protected_paths", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:  # noqa: N804 - an "after" validator is called on the instance
        if self.agent_slots >= self.worker_threads:
            message = "SPEC_WORKFLOW_AGENT_SLOTS must be smaller than SPEC_WORKFLOW_WORKER_THREADS"
            raise ValueError(message)
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            message = "SPEC_WORKFLOW_HEARTBEAT_SECONDS must be at most half of SPEC_WORKFLOW_STAGE_LEASE_SECONDS"
            raise ValueError(message)
        return self

    @cached_property
    def data(self) -> Path:
        """The data folder, absolute."""
        return self.data_dir.absolute()

    @property
    def effective_database_url(self) -> str:
        """The database, the embedded file where none is set."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data / 'moonmind.db'}"

    @property
    def effective_artifact_root(self) -> Path:
        """Where artifacts are kept."""
        return self.artifact_root or self.data / "artifacts" / "spec_workflows"

    @property
    def effective_forge_root(self) -> Path:
        """Where the local forge keeps its repositories."""
        return (self.local_forge_root or self.data / "forge").absolute()

    @property
    def queues(self) -> tuple[str, str]:
        """The queue of discover, submit and apply, and the one of publish and finalize."""
        return self.codex_queue, self.publish_queue or self.codex_queue

    @property
    def secret_values(self) -> tuple[str, ...]:
        """What may stand in nothing that is stored, logged, answered or pushed."""
        urls = [url.get_secret_value() for url in (self.database_url, self.broker_url) if url is not None]
        passwords = [unquote(password) for url in urls if (password := urlsplit(url).password)]
        return (*(url for url in urls if "@" in url), *passwords)

    @property
    def lease(self) -> timedelta:
        """How long a claim lasts without renewal."""
        return timedelta(seconds=self.lease_seconds)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings' own
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from `read_settings` only, which knows the order of sources."""
        return (init_settings,)


def process_environment() -> Mapping[str, str]:
    """Return the environment of this process, for entry points to hand on."""
    return os.environ


def read_settings(environment: Mapping[str, str] | None = None, *, config_file: Path | None = None) -> Settings:
    """
    Read the settings; raises `setting_invalid` naming each variable that cannot be used.

    `<NAME>_FILE` names a file with the value, for secrets that are mounted.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = dict(_from_file(config_file or Path(CONFIG_FILE)))
    values.update(_from_environment(environment))
    try:
        return Settings(**values)
    except ValidationError as error:
        words = "; ".join(f"{_variable(entry['loc'])}: {entry['msg']}" for entry in error.errors())
        raise WorkflowError(FailureCode.SETTING_INVALID, f"{words}.") from error


def _fields_by_name() -> Mapping[str, str]:
    """Return the field behind each name of a variable; some fields have two names."""
    found: dict[str, str] = {}
    for field_name, field in Settings.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        found.update({str(choice): field_name for choice in choices if choice})
    return found


def _from_environment(environment: Mapping[str, str]) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for name, field in _fields_by_name().items():
        value, path = environment.get(name, ""), environment.get(f"{name}_FILE", "")
        if value and path:
            raise WorkflowError(FailureCode.SETTING_INVALID, f"{name} and {name}_FILE are both set; keep one of them.")
        if path:
            value = _secret_file(f"{name}_FILE", Path(path))
        if value:
            # The first name of a field wins over its other one.
            found.setdefault(field, value)
    return found


def _check_scheme(url: str, schemes: tuple[str, ...]) -> None:
    if not url.startswith(schemes):
        message = f"must start with {' or '.join(schemes)}"
        raise ValueError(message)


def _from_file(path: Path) -> Mapping[str, Any]:
    """Read `config.toml`: the variables' own names as keys, in any table."""
    if not path.is_file():
        return {}
    try:
        document = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise WorkflowError(FailureCode.SETTING_INVALID, f"{path} cannot be read: {error}.") from error
    flat: dict[str, Any] = {}
    for name, value in document.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    fields = _fields_by_name()
    unknown = sorted(set(flat) - set(fields))
    if unknown:
        raise WorkflowError(FailureCode.SETTING_INVALID, f"{path} has unknown settings: {', '.join(unknown)}.")
    return {fields[name]: value for name, value in flat.items()}


def _secret_file(variable: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WorkflowError(FailureCode.SETTING_INVALID, f"{variable}: {path} cannot be read: {error}.") from error


def _variable(location: tuple[int | str, ...]) -> str:
    """Return the variable's name for a field, which is what an operator can correct."""
    field = str(location[0]) if location else ""
    return next((name for name, known in _fields_by_name().items() if field in {name, known}), "settings")
