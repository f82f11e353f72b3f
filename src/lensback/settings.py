"""One frozen Settings: defaults < `lensback.toml` of the workspace < LENSBACK_* environment."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from lensback.checked import first_fault, read_toml
from lensback.errors import ConfigError

FILE_NAME = "lensback.toml"
_LOOKED_AT = 200
"""Of a folder in which a workspace may lie."""
SECRETS = "LENSBACK_SECRETS"
"""Of the environment: a folder in which a file `lensback_NAME` holds a setting, as containers get secrets."""


def _split(value: object) -> object:
    """A list in the environment: JSON, or plainly with commas."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError("not a list: write a,b or JSON") from error
    return [part.strip() for part in text.split(",") if part.strip()]


def _code(value: str) -> str:
    if value and not re.fullmatch("[A-Za-z]{3}", value):
        raise ValueError("must be a code of three letters, as EUR, or empty")
    return value.upper()


def _web_address(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^/\s?#]+(/[^\s?#]*)?", value):
        raise ValueError("must be an address, as https://shop.example, or empty")
    return value


def _origin(value: str) -> str:
    if value != "*" and not re.fullmatch(r"https?://[^/\s?#]+", value):
        raise ValueError("must be an origin, as https://shop.example")
    return value


def _sha256(value: str) -> str:
    if value and not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(
            "must be 64 hex digits, as `lensback ledger host-key` writes them, or empty"
        )
    return value


HostList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """Every setting, its default, and what it means. Written into a new `lensback.toml` by `init`."""

    model_config = SettingsConfigDict(
        env_prefix="LENSBACK_", frozen=True, extra="forbid", allow_inf_nan=False
    )

    database: str = Field(
        "", description="Database URL. Empty: SQLite in the workspace (catalogue.db)."
    )
    index: str = Field(
        "lance",
        description="`lance` (default), `exact` (scans every vector; small catalogues), "
        "or `milvus://host:19530/collection`.",
    )
    vectors: str = Field(
        "", description="Where vectors lie: `s3://bucket/prefix`. Empty: in the workspace."
    )
    encoder: str = Field(
        "eye", description="Encoder of the next sync; see `lensback encoder list`."
    )
    detector: str = Field(
        "lensback-detector",
        description="What finds the items in a photo; see `lensback detector list`.",
    )
    currency: Annotated[str, AfterValidator(_code)] = Field(
        "", description="Currency listed first and assumed for price limits; empty: none."
    )
    allow_hosts: HostList = Field(
        (),
        description="Hosts of feeds and store images that may be fetched although their address is private.",
    )
    photo_hosts: HostList = Field(
        (),
        description="Hosts with a private address from which anybody may have a photo fetched (`photo_url`).",
    )
    user_agent: str = Field(
        "Lensback/0.1 (+https://github.com/lensback/lensback)",
        description="Sent with every request, so that stores know who reads them.",
    )
    timeout_s: float = Field(30.0, gt=0, description="Time-out of one network step, seconds.")
    retries: int = Field(2, ge=0, le=10, description="Further tries after a failed request.")
    feed_jobs: int = Field(16, ge=1, le=256, description="Feeds fetched at once.")
    feed_budget_s: float = Field(
        3600.0, gt=0, description="Longest time for one feed, to fetch and to read, seconds each."
    )
    min_rate: float = Field(
        500.0,
        ge=0,
        description="Bytes a second below which a feed's server is given up; 0: never.",
    )
    host_jobs: int = Field(6, ge=1, le=64, description="Requests to one host at once.")
    host_delay_s: float = Field(
        0.05,
        ge=0,
        description="Pause between two requests to one host, seconds; none for `allow_hosts`.",
    )
    robots_exempt: HostList = Field(
        (),
        description="Hosts (`*`: all) whose images may be fetched although robots directives forbid it.",
    )
    max_feed_bytes: int = Field(
        4 << 30, gt=0, description="Most bytes of one feed, after decompression."
    )
    max_image_bytes: int = Field(20 << 20, gt=0, description="Most bytes of one image or photo.")
    max_image_pixels: int = Field(
        50_000_000, gt=0, description="Most pixels of one image or photo."
    )
    download_jobs: int = Field(8, ge=1, le=256, description="Images fetched at once.")
    download_attempts: int = Field(
        3,
        ge=1,
        description="Syncs in a row in which a failing image is tried; then after 1, 2, 4 … hours, a "
        "week at most.",
    )
    image_recheck_days: float = Field(
        7.0,
        ge=0,
        le=3650,
        description="Days after which an image is asked for again (four times as many where its "
        "server gives neither ETag nor Last-Modified); at once when its offer changed; 0: only then.",
    )
    recheck_images: int = Field(
        5000, ge=0, description="Images that one sync asks for again at most."
    )
    recheck_store_images: int = Field(
        500, ge=0, description="Images of one store that one sync asks for again at most."
    )
    embed_batch: int = Field(32, ge=1, description="Pictures encoded at once.")
    threads: int = Field(
        0,
        ge=0,
        description="Threads of the models of one search; 0: one per core that this process may use.",
    )
    reject_guard: float = Field(
        0.2, ge=0, le=1, description="Share of rejected rows above which `sync` exits with 1."
    )
    max_drop: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of a store's offers that one sync may take off sale, and of the index's rows (a "
        "store's, and all together) that one publish may lose, without --force.",
    )
    unknown_stock: Literal["unknown", "in_stock", "out_of_stock"] = Field(
        "unknown",
        description="What an offer is whose words of stock nobody knows: `unknown` (sold, shown as "
        '"check at the store"), `in_stock` or `out_of_stock`.',
    )
    min_recall: float = Field(
        0.95, ge=0, le=1, description="recall@10 below which an index is not published."
    )
    exact_precision: float = Field(
        0.95, gt=0, lt=1, description="Match probability from which a hit is called exact."
    )
    promised_wrong: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Largest share of exact answers that may be wrong, as `lensback promise` certifies it.",
    )
    trial_workspace: str = Field(
        "",
        description="Workspace of the same stores whose encoder answers a share of the searches; empty: none.",
    )
    trial_share: float = Field(
        0.5, gt=0, lt=1, description="Share of the searches that `trial_workspace` answers."
    )
    candidates: int = Field(
        60,
        ge=1,
        le=1000,
        description="Images ranked for one answer; four for each product asked for at least.",
    )
    codes: bool = Field(
        True,
        description="Whether bar codes and square codes in a photo are read: a number or a page that is "
        "known names the very product.",
    )
    ocr: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether words in a photo are read (brand, title, article number); `auto`: where the extra "
        "`ocr` is installed.",
    )
    ocr_wait_ms: int = Field(
        150,
        ge=0,
        le=60_000,
        description="Milliseconds that an answer waits for words that are still being read; they count for "
        "the next question about the same photo.",
    )
    search_jobs: int = Field(
        4, ge=1, description="Searches answered at once by one `serve` process; more get 503."
    )
    upload_memory_bytes: int = Field(
        96 << 20,
        gt=0,
        description="Most bytes of all request bodies in memory at once, in one process; the slowest gives way.",
    )
    max_connections: int = Field(
        1000,
        ge=1,
        description="Connections to one `serve` process at once; those that wait give way.",
    )
    connections_per_address: int = Field(
        200,
        ge=1,
        description="Connections from one address at once; for `trusted_proxies` there is no such limit.",
    )
    journal_max_bytes: int = Field(
        64 << 20,
        gt=0,
        description="Most bytes of clicks, searches and postbacks waiting for the database.",
    )
    payout_minimum: HostList = Field(
        (),
        description='Least amounts that `ledger pay` pays, one for each currency: "10 EUR", "500 RUB".',
    )
    host_key_hash: Annotated[str, AfterValidator(_sha256)] = Field(
        "",
        description="SHA-256 of the host service's key, hex; written by `lensback ledger host-key`.",
    )
    rates: str = Field(
        "", description="URL or path of exchange rates (ECB, Bank of Russia, CSV); read by sync."
    )
    rates_max_age_days: int = Field(
        7, ge=1, description="Age from which exchange rates are not used for estimates any more."
    )
    search_needs_key: bool = Field(
        False, description="Whether /api/search asks for an API key; the page never does."
    )
    rate_limit: int = Field(
        600, ge=0, description="Searches a minute from one address, in one process; 0: no limit."
    )
    key_rate_limit: int = Field(
        6000,
        ge=0,
        description="Searches a minute with one search key, in one process; 0: no limit.",
    )
    write_limit: int = Field(
        300,
        ge=0,
        description="Clicks and votes a minute from one address, in one process; 0: no limit.",
    )
    click_limit: int = Field(
        120,
        ge=0,
        description="Clicks a minute of one user, in one process; 0: no limit.",
    )
    guess_limit: int = Field(
        20,
        ge=0,
        description="Wrong keys, passes and secrets a minute from one address, in one process, and ten "
        "times as many in all; 0: no limit.",
    )
    cors_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        (), description="Web origins whose pages may use the API, e.g. https://shop.example."
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Addresses of proxies whose X-Forwarded-For is believed."
    )
    photo_memory_s: int = Field(
        600,
        ge=0,
        le=86_400,
        description="Seconds for which a searched photo stays in memory (never on disk), to search "
        "another part of it without sending it again; 0: not at all.",
    )
    keep_photos_days: int = Field(
        0,
        ge=0,
        le=3650,
        description="Days for which searched photos are kept in `photos/`, without their metadata, "
        "for training and evaluation; 0: not at all.",
    )
    learn_from_use: bool = Field(
        False,
        description="Whether the vectors of what was searched are kept with an answer that is clicked or voted on, and "
        "whose a member's vote was, to learn from (docs/training.md).",
    )
    keep_searches_days: int = Field(
        180, ge=0, le=3650, description="Days for which searches and votes are kept; 0: for good."
    )
    keep_clicks_days: int = Field(
        400,
        ge=0,
        le=3650,
        description="Days for which clicks are kept; one with a sale stays for the money, without the "
        "person once its cashback is paid out or declined. 0: for good.",
    )
    public_url: Annotated[str, AfterValidator(_web_address)] = Field(
        "",
        description="Address under which shoppers reach this service; the bot needs it. Set, requests for "
        "other names are refused, and with https cookies stay on encrypted connections.",
    )
    public_hosts: HostList = Field(
        (),
        description="Further names under which shoppers reach this service; with `public_url` set, "
        "requests for any other name are refused.",
    )
    sign_in_url: Annotated[str, AfterValidator(_web_address)] = Field(
        "",
        description="Where shoppers sign in at the host service; the page links to it where a purchase would "
        "count for nobody. Empty: it says so without a link.",
    )
    saved_webhook: Annotated[str, AfterValidator(_web_address)] = Field(
        "",
        description="Address that gets the news of users' saved things (cheaper, back in stock) after a sync, "
        "to mail or push them (docs/page.md); empty: none.",
    )
    saved_webhook_secret: str = Field(
        "", description="What these requests are signed with (`Lensback-Signature`)."
    )
    activated_s: float = Field(
        0.0,
        ge=0,
        le=15,
        description="Seconds for which a signed-in shopper is told that the cashback is activated, on the "
        "way to the store; 0: straight to the store.",
    )
    templates: str = Field(
        "",
        description="Folder of page templates that stand before ours (docs/page.md); empty: none.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="`debug`, `info`, `warning` or `error`."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment stands above files of secrets, and those above what `load` passes in from
        the TOML file."""
        folder = os.environ.get(SECRETS, "")
        if not folder:
            return env_settings, init_settings
        if not Path(folder).is_dir():
            hint = f"mount the secrets there, or change {SECRETS}"
            raise ConfigError(f"no folder of secrets: {folder}", hint=hint)
        return env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder), init_settings


OTHER_NAMES = ("WORKSPACE", "DATA", "SECRETS", "BOT_TOKEN")
"""LENSBACK_ names of the environment that are no settings."""


def strangers(environment: Iterable[str]) -> dict[str, str]:
    """LENSBACK_ names that mean nothing -> the likeliest name that was meant, or empty."""
    known = [f"LENSBACK_{name.upper()}" for name in (*Settings.model_fields, *OTHER_NAMES)]
    named = (name for name in environment if name.upper().startswith("LENSBACK_"))
    secrets = "LENSBACK_NETWORK_"  # secrets of networks: docs/networks.md
    odd = [n for n in named if n.upper() not in known and not n.upper().startswith(secrets)]
    return {name: next(iter(get_close_matches(name.upper(), known, 1)), "") for name in sorted(odd)}


def load(workspace: Path) -> Settings:
    """Reads the workspace's settings. Raises ConfigError naming the key that is wrong."""
    path = workspace / FILE_NAME
    values: dict[str, Any] = {}
    if path.exists():
        values = read_toml(path, "settings.md")
    for name, meant in strangers(os.environ).items():
        raise ConfigError(
            f"{name} is in the environment and is no setting", hint=_meant(meant, f"unset {name}")
        )
    for name in sorted(set(values) - set(Settings.model_fields)):
        near = next(iter(get_close_matches(name, Settings.model_fields, 1)), "")
        hint = _meant(near, f"take it out of {path}; docs/settings.md has all")
        raise ConfigError(f"setting {name!r}: is not known", hint=hint)
    try:
        return Settings(**values)
    except SettingsError as error:
        raise ConfigError(
            str(error), hint="write lists as JSON, e.g. LENSBACK_ALLOW_HOSTS='[\"127.0.0.1\"]'"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise ConfigError(
            f"setting {first_fault(first)}", hint=f"change it in {path} or LENSBACK_{key.upper()}"
        ) from error


def _meant(near: str, otherwise: str) -> str:
    return f"did you mean {near}? Else {otherwise}" if near else otherwise


def origins(workspace: Path) -> dict[str, str]:
    """Where each setting comes from: `default`, `file`, `secret`, or `environment`."""
    file = workspace / FILE_NAME
    given = read_toml(file, "settings.md") if file.exists() else {}
    outside = {name.upper() for name in os.environ}
    folder = os.environ.get(SECRETS, "")
    found = {}
    for name in Settings.model_fields:
        in_folder = bool(folder) and Path(folder, f"lensback_{name}").is_file()
        if f"LENSBACK_{name.upper()}" in outside:
            found[name] = "environment"
        elif in_folder:
            found[name] = "secret"
        else:
            found[name] = "file" if name in given else "default"
    return found


def none_at(path: Path) -> ConfigError:
    """The error where no workspace is. Its hint names one that lies beside: who has one must not be led
    to a second, empty one."""
    try:
        beside = [p for p in islice(path.parent.iterdir(), _LOOKED_AT) if (p / FILE_NAME).is_file()]
    except OSError:
        beside = []
    named = " or ".join(f"--workspace {shlex.quote(str(p))}" for p in sorted(beside)[:3])
    yours = f"there is one beside it: {named}" if named else "is yours elsewhere: --workspace DIR"
    new = f"to make a new one, run: lensback init --workspace {shlex.quote(str(path))}"
    return ConfigError(f"{path} is not a workspace", hint=f"{yours}; {new}")


def template() -> str:
    """A commented `lensback.toml`: every setting at its default, commented out."""
    lines = [
        "# Settings of this workspace. Uncomment to change; LENSBACK_<NAME> in the",
        "# environment stands above this file.",
        "",
    ]
    for name, info in Settings.model_fields.items():
        lines += [f"# {info.description}", f"# {name} = {_toml(info.default)}", ""]
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value)
