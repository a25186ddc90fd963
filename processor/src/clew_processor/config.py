"""Settings: flag, then environment `CLEW_*` (nested keys with `__`), then `clew.yaml`, then default."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from clew_processor.errors import ConfigError
from clew_processor.query.settings import QuerySettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "CLEW_"
CONFIG_FILE = "clew.yaml"
MAX_DAYS = 20_000
"""ClickHouse's DateTime ends in 2106: a retention that reaches beyond it would wrap and delete rows at once."""
SDK_VARIABLES = frozenset(
    {
        "CLEW_CONTENT",
        "CLEW_CONTENT_LIMIT",
        "CLEW_ENDPOINT",
        "CLEW_PROPAGATE_TO",
        "CLEW_QUEUE_BYTES",
        "CLEW_REDACT",
        "CLEW_SERVICE",
        "CLEW_SPANS",
        "CLEW_START_RECORDS",
    }
)
"""Variables of the same prefix that belong to the SDK and the command line."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sampling(_Section):
    """Which spans are kept. Totals are exact whatever is set here."""

    probability: float = Field(1.0, gt=0, le=1)
    """Share of runs kept by chance; runs with a loop, an error or a denied gate are kept anyway."""


class BatchLimits(_Section):
    """How requests that arrive together become one batch."""

    max_spans: int = Field(20_000, ge=1, le=1_000_000)
    """A batch is closed at this many spans and log records."""
    max_wait_ms: int = Field(50, ge=0, le=10_000)
    """Or when its first request has waited this long."""


class Limits(_Section):
    """What is refused."""

    request_bytes: int = Field(64 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024)
    """Largest request, after decompression (the default OTLP recommends; the kernel takes 256 MiB at once)."""
    span_bytes: int = Field(16 * 1024 * 1024, ge=1024)
    """Largest single span or log record."""
    waiting_bytes: int = Field(512 * 1024 * 1024, ge=1024)
    """Requests waiting in memory to be written to the spool; beyond it senders are told to try again."""
    past_days: int = Field(365, ge=1, le=36_500)
    """Older spans and log records are rejected."""
    future_days: int = Field(1, ge=1, le=3650)
    """Those further in the future are rejected."""


class Retention(_Section):
    """Days each kind of row is kept."""

    spans_days: int = Field(30, ge=1, le=MAX_DAYS)
    """otel_traces, span_corrections, open_spans and dead_letter."""
    content_days: int = Field(30, ge=1, le=MAX_DAYS)
    """span_content, counted from when a content was last seen, and span_messages."""
    logs_days: int = Field(30, ge=1, le=MAX_DAYS)
    """otel_logs."""
    runs_days: int = Field(400, ge=1, le=MAX_DAYS)
    """runs, loops, gates, usage_1m and ledger_1m."""


class SpoolSettings(_Section):
    """The log on disk in which requests wait for the store."""

    durability: Literal["fsync", "os"] = "fsync"
    """When a request is acknowledged: once the device has it, or once the operating system has it."""
    commit_ms: float = Field(3, ge=0, le=1000)
    """Requests that come within this of the last write to the spool are written together."""
    max_bytes: int = Field(8 * 1024**3, ge=256 * 1024)
    """On disk at most; beyond it senders are told to try again."""
    segment_bytes: int = Field(16 * 1024 * 1024, ge=64 * 1024)
    """Size of its files: room is given back a file at a time."""
    checkpoint_s: float = Field(10, gt=0)
    """What runs remember is saved this often: what a crash makes the processor do again."""
    resend_horizon_s: int = Field(600, ge=0)
    """A span that arrives a second time within this much arrival time is not stored again."""

    @model_validator(mode="after")
    def _has_room_for_files(self) -> Self:
        if self.max_bytes < 4 * self.segment_bytes:
            raise ValueError(f"max_bytes must be at least 4 times segment_bytes, {4 * self.segment_bytes}")
        return self


class UsageSettings(_Section):
    """How usage is told apart."""

    settle_s: int = Field(600, ge=1)
    """Copies of one call are told within this much arrival time."""


class PriceSettings(_Section):
    """What model calls cost, beside the packaged price list. The network is never asked."""

    file: str = ""
    """YAML file with prices of one's own; empty is none."""
    data: str = ""
    """JSON file with a newer price list, in the form of genai-prices; empty takes the packaged one."""
    refresh_s: float = Field(60, ge=0.1, le=86_400)
    """Both files are looked at this often; what has changed is in force from then on."""


class Settings(BaseSettings):
    """Every setting of the processor."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    grpc: str = "127.0.0.1:4317"
    """HOST:PORT of OTLP/gRPC."""
    http: str = "127.0.0.1:4318"
    """HOST:PORT of OTLP/HTTP, health and metrics."""
    query: str = "127.0.0.1:8123"
    """HOST:PORT of the ClickHouse HTTP interface, read-only."""
    data: Path = Path(".clew/data")
    """Data directory: the spool, the embedded store, the content key, the lock."""
    store: str = ""
    """DSN of the store; empty is the embedded engine in the data directory."""
    tenant: str = Field("default", min_length=1, max_length=128)
    """Whose spans these are."""
    content_key: str = ""
    """Key of all content hashes, any text; empty takes one made once in the data directory."""
    shutdown_s: float = Field(20, gt=0)
    """How long draining may take after SIGTERM."""
    sampling: Sampling = Sampling()
    batch: BatchLimits = BatchLimits()
    limits: Limits = Limits()
    spool: SpoolSettings = SpoolSettings()
    retention: Retention = Retention()
    usage: UsageSettings = UsageSettings()
    prices: PriceSettings = PriceSettings()
    queries: QuerySettings = QuerySettings()

    @field_validator("grpc", "http", "query")
    @classmethod
    def _host_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("expected HOST:PORT, for example 127.0.0.1:4317")
        return value

    @property
    def dsn(self) -> str:
        """The store's DSN, with the default filled in."""
        return self.store or f"chdb://{self.data.resolve() / 'store'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only arguments and environment; the file is merged in by `load`."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings


def load(flags: Mapping[str, Any], *, config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force.

    Args:
        flags: values from the command line; None means not given.
        config: the file that must exist; None takes `clew.yaml` of the current directory if it is there.
        environ: checked for unknown `CLEW_*` names.

    Raises:
        ConfigError: an unknown key (naming the nearest known one) or a wrong value.
    """
    known = set(known_keys())
    from_file = _read(config)
    for key in _flatten(from_file):
        _require_known(key, known, where=str(config or CONFIG_FILE), shown=key)
    for name in environ:
        if name.startswith(PREFIX) and name not in SDK_VARIABLES:
            _require_known(
                name.removeprefix(PREFIX).lower().replace("__", "."),
                known,
                where="the environment",
                shown=name,
                as_variables=True,
            )
    given = {key: value for key, value in flags.items() if value is not None}
    try:
        environment = Settings(**given).model_dump(exclude_unset=True)
        return Settings(**_merged(from_file, environment))
    except SettingsError as error:  # a section whose variable is not JSON
        field = str(error).partition('"')[2].partition('"')[0]
        name = f"{PREFIX}{field.upper()}"
        raise ConfigError(
            f"{name}: {environ.get(name)!r} is wrong: it has settings below it, set each as {name}__KEY"
        ) from error
    except ValidationError as error:
        raise ConfigError(_explained(error)) from error


def _read(config: Path | None) -> dict[str, Any]:
    path = config or Path(CONFIG_FILE)
    if config is None and not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"config: cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"config: {path} is not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"config: {path} holds {type(content).__name__}, expected keys and values")
    return content


def known_keys() -> Iterator[str]:
    """Every setting's dotted name, sections included."""
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield name
            yield from (f"{name}.{inner}" for inner in kind.model_fields)
        else:
            yield name


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        path = f"{prefix}{key}"
        yield path
        if isinstance(value, dict):
            yield from _flatten(value, f"{path}.")


def _require_known(key: str, known: set[str], *, where: str, shown: str, as_variables: bool = False) -> None:
    if key in known:
        return
    spelled = {name: PREFIX + name.replace(".", "__").upper() if as_variables else name for name in known}
    raise ConfigError(f"unknown setting {shown!r} in {where}: {_hint(key, spelled)}")


def _hint(key: str, spelled: Mapping[str, str]) -> str:
    """The known key that was probably meant, else all of them, as they are spelled there."""
    near = difflib.get_close_matches(key, spelled, n=1)
    return f"did you mean {spelled[near[0]]!r}?" if near else f"known: {', '.join(sorted(spelled.values()))}"


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        both[key] = _merged(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return both


def _explained(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        match problem["type"]:
            case "extra_forbidden":  # a section given as a whole, in JSON
                lines.append(f"unknown setting {key!r}: {_hint(key, {name: name for name in known_keys()})}")
            case "model_type":
                inner = ", ".join(name for name in known_keys() if name.startswith(f"{key}."))
                lines.append(f"{key}: {problem['input']!r} is wrong: it has settings below it ({inner})")
            case _:
                lines.append(f"{key}: {problem['input']!r} is wrong: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)
