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

_OAUTH, _TLS = "OAuth", "Mutual TLS"
_EPILOG = (
    "Example: koma pull --client-id r1 --key r1/key.json --ca ca.pem --dest r1-pulled; "
    "by certificate: koma pull --retailer 10013 --cert r2/cert.pem --key-file r2/cert-key.pem --ca ca.pem"
)


@app.command(epilog=_EPILOG)
def pull(
    *,
    client_id: Annotated[str | None, typer.Option("--client-id", metavar="ID", rich_help_panel=_OAUTH)] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Private key, JWK or PEM.", rich_help_panel=_OAUTH)
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option("--gateway", metavar="URL", help="KOMA_GATEWAY_URL unless given.", rich_help_panel=_OAUTH),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="zip|parquet", help="Which files to fetch.", rich_help_panel=_OAUTH)
    ] = "zip",
    wait: Annotated[
        int, typer.Option("--wait", min=0, max=25, help="Seconds to wait for something.", rich_help_panel=_OAUTH)
    ] = 0,
    accept_release_keys: Annotated[
        bool,
        typer.Option("--accept-release-keys", help="Trust new keys of manifests.", rich_help_panel=_OAUTH),
    ] = False,
    cert: Annotated[Path | None, typer.Option("--cert", metavar="PEM", rich_help_panel=_TLS)] = None,
    key_file: Annotated[Path | None, typer.Option("--key-file", metavar="PEM", rich_help_panel=_TLS)] = None,
    retailer: Annotated[
        list[str] | None, typer.Option("--retailer", metavar="CODE", help="May be repeated.", rich_help_panel=_TLS)
    ] = None,
    files: Annotated[
        str | None, typer.Option("--files", metavar="URL", help="KOMA_FILES_URL unless given.", rich_help_panel=_TLS)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="YYYY-MM-DD", help="List each day from this one to --until.", rich_help_panel=_TLS
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="YYYY-MM-DD", help="Today unless given.", rich_help_panel=_TLS)
    ] = None,
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

            def tell(count: int) -> None:
                advance(count)

            if client_id is not None and key is not None:
                told = _by_key(
                    settings, client_id, key, gateway, ca, dest, form, wait, tell, accept_keys=accept_release_keys
                )
            else:
                told = _by_certificate(settings, cert, key_file, retailer or [], files, ca, dest, days, tell)
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
        return summary.as_dict(puller.ledger, _held(dest))


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
        return summary.as_dict(puller.ledger, [*retailers, *_held(dest)])


def _held(dest: Path) -> list[str]:
    """Codes of the ledger."""
    return [each.name for each in (dest / "ledger").glob("*") if each.is_dir()]


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
    columns = ("retailer", "files", "rows", "cells", "available", "missing", "sum dWh", "incomplete")
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
        )
        for code, each in told["retailers"].items()
    ]
    table("Pulled", columns, rows)
