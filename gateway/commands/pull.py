# SPDX-License-Identifier: Apache-2.0
"""Fetch what is new as a retailer, check it, and keep a ledger.

Example: koma pull --client-id r1 --key r1/key.json --ca ca.pem --dest pulled
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from koma.errors import KomaError
from koma.output import emit, fail, progress, table
from koma.settings import Settings, load_settings

app = typer.Typer(add_completion=False, help=__doc__)

_EPILOG = (
    "Example: koma pull --client-id r1 --key r1/key.json --ca ca.pem --dest r1-pulled\n\n"
    "Example: koma pull --retailer 10013 --cert r2/cert.pem --key-file r2/cert-key.pem --ca ca.pem --dest r2-pulled"
)


def _oauth(flag: str, metavar: str, text: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel="OAuth")


def _tls(flag: str, metavar: str, text: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel="Mutual TLS")


ClientId = Annotated[str | None, _oauth("--client-id", "ID", "Id that the operator registered.")]
KeyFile = Annotated[Path | None, _oauth("--key", "FILE", "Private key: JWK, or PEM without a password.")]
Gateway = Annotated[str | None, _oauth("--gateway", "URL", "Base address; KOMA_GATEWAY_URL unless given.")]
Form = Annotated[str, _oauth("--format", "zip|parquet", "Which files to fetch.")]
Wait = Annotated[int, typer.Option("--wait", min=0, max=25, help="Seconds to wait for news.", rich_help_panel="OAuth")]
AcceptKeys = Annotated[
    bool,
    typer.Option("--accept-release-keys", help="Trust keys of manifests not seen before.", rich_help_panel="OAuth"),
]
Certificate = Annotated[Path | None, _tls("--cert", "PEM", "Client certificate.")]
CertificateKey = Annotated[Path | None, _tls("--key-file", "PEM", "Its private key.")]
Retailers = Annotated[list[str] | None, _tls("--retailer", "CODE", "Code to fetch; may be repeated.")]
Files = Annotated[str | None, _tls("--files", "URL", "Base address; KOMA_FILES_URL unless given.")]
Since = Annotated[str | None, _tls("--since", "YYYY-MM-DD", "List each day from this one, instead of the newest list.")]
Until = Annotated[str | None, _tls("--until", "YYYY-MM-DD", "Last day to list; today unless given.")]


@app.command(epilog=_EPILOG)
def pull(
    *,
    client_id: ClientId = None,
    key: KeyFile = None,
    gateway: Gateway = None,
    form: Form = "zip",
    wait: Wait = 0,
    accept_release_keys: AcceptKeys = False,
    cert: Certificate = None,
    key_file: CertificateKey = None,
    retailer: Retailers = None,
    files: Files = None,
    since: Since = None,
    until: Until = None,
    ca: Annotated[Path | None, typer.Option("--ca", metavar="FILE", help="What to trust; else the system's.")] = None,
    dest: Annotated[Path, typer.Option("--dest", metavar="DIR", help="Files, ledger and state.")] = Path("pulled"),
    home: Annotated[Path | None, typer.Option("--home", metavar="PATH", help="Data directory, for settings.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
) -> None:
    """Fetch what is new, check size, digest, signature and content, and apply revisions to the ledger.

    With --client-id and --key over OAuth with DPoP and the release feed; with --cert, --key-file and --retailer over
    the file list of the mutual-TLS listener. A run that was cut is gone on with by the next.
    """
    if (client_id is None) == (cert is None) or (client_id is None) != (key is None):
        raise typer.BadParameter("give --client-id and --key, or --cert, --key-file and --retailer")
    if cert is not None and (key_file is None or not retailer):
        raise typer.BadParameter("--cert needs --key-file and --retailer")
    if form not in {"zip", "parquet"}:
        raise typer.BadParameter("--format is zip or parquet")
    days = _days(since, until)
    try:
        settings = load_settings(home=home)
        with progress("fetching", None) as advance:
            if client_id is not None and key is not None:
                accept = accept_release_keys
                told = _by_key(settings, client_id, key, gateway, ca, dest, form, wait, advance, accept_keys=accept)
            else:
                told = _by_certificate(settings, cert, key_file, retailer or [], files, ca, dest, days, advance)
    except KomaError as error:
        fail(error, as_json=as_json)
    emit(told)
    if not as_json:
        _show(told)


def _by_key(
    settings: Settings,
    client_id: str,
    key: Path,
    gateway: str | None,
    ca: Path | None,
    dest: Path,
    form: str,
    wait: int,
    tell: Any,
    *,
    accept_keys: bool,
) -> dict[str, Any]:
    from gateway.jose import read_private_key  # noqa: PLC0415  `--help` has no need of all this
    from gateway.pull import Puller  # noqa: PLC0415
    from gateway.pull_http import OAuthDoor, trust_of  # noqa: PLC0415
    from gateway.pull_state import read_state, sole_use  # noqa: PLC0415

    with sole_use(dest):
        puller = Puller(dest, read_state(dest, client_id), "oauth")
        door = OAuthDoor(gateway or settings.gateway_url, client_id, read_private_key(key), trust_of(ca))
        try:
            summary = puller.pull_feed(door, form, wait, tell, accept_keys=accept_keys)
        finally:
            door.close()
        return summary.as_dict(puller.ledger, puller.days, _held(dest))


def _by_certificate(
    settings: Settings,
    cert: Path | None,
    key_file: Path | None,
    retailers: list[str],
    files: str | None,
    ca: Path | None,
    dest: Path,
    days: list[str | None],
    tell: Any,
) -> dict[str, Any]:
    from gateway.pull import Puller  # noqa: PLC0415  `--help` has no need of all this
    from gateway.pull_http import CertificateDoor, trust_of  # noqa: PLC0415
    from gateway.pull_state import read_state, sole_use  # noqa: PLC0415

    with sole_use(dest):
        puller = Puller(dest, read_state(dest, "certificate"), "mutual-tls")
        door = CertificateDoor(files or settings.files_url, trust_of(ca, cert, key_file))
        try:
            summary = puller.pull_list(door, retailers, days, tell)
        finally:
            door.close()
        return summary.as_dict(puller.ledger, puller.days, [*retailers, *_held(dest)])


def _held(dest: Path) -> list[str]:
    """Codes of the ledgers."""
    return [each.name for ledger in ("ledger", "days") for each in (dest / ledger).glob("*") if each.is_dir()]


def _days(since: str | None, until: str | None) -> list[str | None]:
    if since is None:
        return [None]
    try:
        first = date.fromisoformat(since)
        last = date.fromisoformat(until) if until is not None else date.today()  # noqa: DTZ011  the retailer's own day
    except ValueError as error:
        raise typer.BadParameter(f"a date such as 2026-08-22 is needed: {error}") from error
    if not timedelta(0) <= last - first <= timedelta(days=400):
        raise typer.BadParameter("--since lies before --until, by 400 days at most")
    return [f"{first + timedelta(days=day):%Y%m%d}" for day in range((last - first).days + 1)]


def _show(told: dict[str, Any]) -> None:
    columns = ("retailer", "files", "rows", "cells", "available", "missing", "sum dWh", "incomplete", "days differ")
    rows = [
        (
            code,
            each["files"],
            each["rows"],
            each["ledger"]["cells"],
            each["ledger"]["available"],
            each["ledger"]["missing"],
            each["ledger"]["sum_dwh"],
            len(each["incomplete"]),
            each["days"]["differ"],
        )
        for code, each in told["retailers"].items()
    ]
    table("Pulled", columns, rows)
