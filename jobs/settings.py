"""Settings: an option, else an environment variable `SAVS_…`, else `savs.toml` in the current folder."""

import os
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from savs.errors import SettingsError
from savs.storage import absolute_path, without_scheme

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE = Path("savs.toml")
VERIFIED = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}  # unless the address sets them

HOST = r"[A-Za-z0-9._-]+|[0-9a-f:.]+"  # a name or an address, as far as boto3 accepts it

LogLevel = Literal["debug", "info", "warning"]
Seconds = Annotated[float, Field(ge=0.01, le=1e7)]  # the range that timers accept


class Settings(BaseSettings):
    """The settings of every command. `workspace` is a folder or s3://bucket/prefix; the times are for
    pools, with defaults in `jobs.queue.timeouts`; `log_level` is for workers; `notify_hosts` are hosts that
    are not on the public internet and may be in --notify, separated by spaces; `gpu_hour_price`, of a worker,
    is for reports."""

    model_config = SettingsConfigDict(
        env_prefix="SAVS_", env_ignore_empty=True, toml_file=FILE, extra="ignore"
    )

    workspace: str | None = None
    broker_url: str | None = None
    s3_endpoint_url: str | None = None
    max_item_bytes: Annotated[int, Field(ge=1)] | None = None
    touch_every: Seconds | None = None
    no_life_limit: Seconds | None = None
    sweep_every: Seconds | None = None
    attempts: Annotated[int, Field(ge=1)] | None = None
    shard_time_limit: Seconds | None = None
    grace_time: Seconds | None = None
    log_level: LogLevel = "info"
    notify_hosts: str = ""
    gpu_hour_price: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def read_settings(**options: str | float | None) -> Settings:
    """Return the settings; `options` take precedence. Raises SettingsError if one is unusable."""
    given = {name: value for name, value in options.items() if value not in (None, "")}
    try:
        _check_file()
        return Settings(**given)  # type: ignore[arg-type]  # pydantic validates them
    except ValidationError as error:
        raise SettingsError("; ".join(_problem(one) for one in error.errors())) from error
    except ValueError as error:  # of the file as a whole
        raise SettingsError(f"{FILE}: {error}") from error


def _check_file() -> None:
    """Raises SettingsError if `savs.toml` has a key that is not a setting."""
    if not FILE.is_file():
        return
    for name in tomllib.loads(FILE.read_text(encoding="utf-8")):
        if name not in Settings.model_fields:
            near = get_close_matches(name, Settings.model_fields, 1)
            known = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(Settings.model_fields)}"
            raise SettingsError(f"{FILE}: there is no setting {name!r}; {known}")


def set_up_environment() -> None:
    """Put the S3 endpoint and the memory limit of `savs.toml` into the environment of this process and its
    child processes: `savs` reads them there, and reads no settings. Call this before opening a store.

    Region, profile and credentials are boto3's. Raises SettingsError if the endpoint is not an address.
    """
    settings = read_settings()
    if settings.max_item_bytes is not None:
        os.environ["SAVS_MAX_ITEM_BYTES"] = str(settings.max_item_bytes)
    url = settings.s3_endpoint_url
    if not url:
        return
    if not _is_endpoint(url):
        raise SettingsError(f"SAVS_S3_ENDPOINT_URL: {url} is not an http:// or https:// address")
    os.environ["SAVS_S3_ENDPOINT_URL"] = url


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # an unclosed bracket, a port that is no number
        return False
    return parts.scheme in ("http", "https") and re.fullmatch(HOST, parts.hostname or "") is not None


def _problem(error: "ErrorDetails") -> str:
    name = str(error["loc"][0]).removeprefix("SAVS_").lower()
    return f"SAVS_{name.upper()} (or {name} in {FILE}): {error['msg']}"


def log_level_of() -> LogLevel:
    """Return the lowest level that a worker logs. Raises SettingsError."""
    return read_settings().log_level


def workspace_of(option: str | None) -> str:
    """Return the workspace, as an absolute path if it is a folder. Raises SettingsError if none is set."""
    settings = read_settings(workspace=option)
    if not settings.workspace:
        raise SettingsError("no workspace: use --workspace, SAVS_WORKSPACE, or savs.toml")
    workspace = without_scheme(settings.workspace)
    scheme, separator, bucket = workspace.partition("://")
    if separator and (scheme != "s3" or not bucket.strip("/")):
        raise SettingsError(f"--workspace: {workspace} is neither a folder nor s3://bucket/prefix")
    if separator:
        return workspace.rstrip("/")
    path = absolute_path(workspace)
    try:
        nearest = next(place for place in (path, *path.parents) if place.exists())
    except OSError as error:
        raise SettingsError(f"--workspace: {path}: {error.strerror}") from error
    if not nearest.is_dir():
        raise SettingsError(f"--workspace: {nearest} is a file; a folder is needed")
    return str(path)


def broker_of(option: str | None) -> str | None:
    """Return the broker's address, or None if jobs run in this process. Raises SettingsError, whose
    message contains no part of a password."""
    url = read_settings(broker_url=option).broker_url
    if url and not url.startswith(("redis://", "rediss://")):
        raise SettingsError(f"--broker: {url.partition(':')[0]}:… is not a redis:// or rediss:// address")
    try:
        _ = url and urlsplit(url).port
    except ValueError as error:
        raise SettingsError(
            "--broker: its host or port cannot be read; in a password, write / as %2F and @ as %40"
        ) from error
    return verified(url) if url else url


def verified(url: str) -> str:
    """Return the broker's address. With rediss:// it then requires that the certificate is checked:
    redis-py does that by default, but kombu, which sends the same password, does not."""
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return url
    return parts._replace(query=urlencode(VERIFIED | dict(parse_qsl(parts.query)), safe="/")).geturl()
