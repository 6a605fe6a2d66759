"""Settings: an option, else an environment variable `SAVS_…`, else `savs.toml` in this folder."""

import os
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from savs.errors import SettingsError

FILE = Path("savs.toml")
VERIFIED = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}  # unless the address says otherwise


class Settings(BaseSettings):
    """What holds for every command. `workspace` is a folder or s3://bucket/prefix."""

    model_config = SettingsConfigDict(env_prefix="SAVS_", toml_file=FILE, extra="ignore")

    workspace: str | None = None
    broker_url: str | None = None
    s3_endpoint_url: str | None = None

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


def read_settings(**options: str | None) -> Settings:
    """The settings in force, `options` before all others. Raises SettingsError where one is unusable."""
    given = {name: value for name, value in options.items() if value}
    try:
        return Settings(**given)
    except (ValidationError, ValueError) as error:
        raise SettingsError(f"{FILE}: {error}") from error


def set_up_storage() -> None:
    """Puts the S3 endpoint of `savs.toml` where `savs.storage`, which knows no settings, looks for it: into
    the environment of this process and of those that it starts. To be called before a store is opened.

    Region, profile and credentials are boto3's. Raises SettingsError where it is no address.
    """
    url = read_settings().s3_endpoint_url
    if not url:
        return
    if not url.startswith(("http://", "https://")) or not urlsplit(url).hostname:
        raise SettingsError(f"SAVS_S3_ENDPOINT_URL: {url} is no http:// or https:// address")
    os.environ["SAVS_S3_ENDPOINT_URL"] = url


def workspace_of(option: str | None) -> str:
    """The workspace to use, absolute where it is a folder. Raises SettingsError where none is set."""
    settings = read_settings(workspace=option)
    if not settings.workspace:
        raise SettingsError("no workspace: use --workspace, SAVS_WORKSPACE, or savs.toml")
    scheme, separator, bucket = settings.workspace.partition("://")
    if separator and (scheme != "s3" or not bucket.strip("/")):
        raise SettingsError(f"--workspace: {settings.workspace} is neither a folder nor s3://bucket/prefix")
    if separator:
        return settings.workspace.rstrip("/")
    path = Path(settings.workspace).expanduser().resolve()
    try:
        nearest = next(place for place in (path, *path.parents) if place.exists())
    except OSError as error:
        raise SettingsError(f"--workspace: {path}: {error.strerror}") from error
    if not nearest.is_dir():
        raise SettingsError(f"--workspace: {nearest} is a file; a folder is needed")
    return str(path)


def broker_of(option: str | None) -> str | None:
    """The broker's address, or None where jobs are to run in this process. Raises SettingsError, in
    words that hold no part of a password."""
    url = read_settings(broker_url=option).broker_url
    if url and not url.startswith(("redis://", "rediss://")):
        raise SettingsError(f"--broker: {url.partition(':')[0]}:… is no redis:// address")
    try:
        _ = url and urlsplit(url).port
    except ValueError as error:
        raise SettingsError(
            "--broker: its host or port cannot be read; in a password, write / as %2F and @ as %40"
        ) from error
    return verified(url) if url else url


def verified(url: str) -> str:
    """The broker's address, which with rediss:// says that its certificate is to be checked: redis-py
    does that by itself, and kombu, which sends the same password, does not."""
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return url
    return parts._replace(query=urlencode(VERIFIED | dict(parse_qsl(parts.query)), safe="/")).geturl()
