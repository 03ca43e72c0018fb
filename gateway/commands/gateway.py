# SPDX-License-Identifier: Apache-2.0
"""Run the gateway, and register the clients that may fetch.

Example: koma gateway up --home var/koma
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from koma.errors import GatewayError, KomaError
from koma.output import emit, fail, table
from koma.settings import load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
client = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Register clients under four eyes; stop them at once.\n\nExample: koma gateway client list",
)
app.add_typer(client, name="client")

Home = Annotated[Path | None, typer.Option("--home", metavar="PATH", help="Data directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does it.")]
ClientId = Annotated[str, typer.Argument(metavar="ID", help="The client.")]

_SEVERAL = ("--retailer", "--dpop", "--cert")


def spread(given: list[str]) -> list[str]:
    """Arguments with each value of an option that takes several under an option of its own.

    A second value counts only once the client's id was read, since that could be meant too.

    >>> spread(["r1", "--retailer", "10013", "10021", "--by", "A"])
    ['r1', '--retailer', '10013', '--retailer', '10021', '--by', 'A']
    """
    found: list[str] = []
    option, values, named = "", 0, False
    for each in given:
        if each.startswith("-"):
            option, values = ("" if "=" in each else each), 0
        else:
            values += 1
            if option in _SEVERAL and values > 1 and named:
                found.append(option)
            named = named or not option or values > 1
        found.append(each)
    return found


class Spread(TyperCommand):
    """Lets `--retailer 10013 10021` mean `--retailer 10013 --retailer 10021`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Spread the values, then parse as ever."""
        return super().parse_args(ctx, spread(args))


@app.command(epilog="Example: KOMA_HOME=var/koma koma gateway up")
def up(*, home: Home = None, as_json: Json = False) -> None:
    """Run both zones in the foreground until SIGTERM or Ctrl-C.

    When both listeners answer, one JSON line with issuer, files, ca and pid goes to standard output and to
    run/gateway.json.
    """
    import threading  # noqa: PLC0415  `--help` has no need of all this

    from gateway.errors import StartError  # noqa: PLC0415
    from gateway.launch import run_gateway, watch_signals  # noqa: PLC0415

    stop = threading.Event()
    try:
        watch_signals(stop)
        run_gateway(load_settings(home=home), stop, emit)
    except KomaError as error:
        fail(error, as_json=as_json)
    except OSError as error:
        fail(StartError(f"{error.filename or 'a file'} cannot be used: {error.strerror}"), as_json=as_json)


@client.command(
    cls=Spread,
    epilog="Example: koma gateway client propose r1 --retailer 10013 --jwks r1.json --scope slots.read --by operator-1",
)
def propose(
    client_id: Annotated[str, typer.Argument(metavar="ID", help="Letters, digits, dot, dash, underscore.")],
    *,
    retailer: Annotated[list[str], typer.Option("--retailer", metavar="CODE...", help="Codes it may read.")],
    scope: Annotated[str, typer.Option("--scope", help="Scopes, with blanks between.")],
    by: By,
    jwks: Annotated[Path | None, typer.Option("--jwks", metavar="FILE", help="Public keys of its assertions.")] = None,
    dpop: Annotated[
        list[str] | None, typer.Option("--dpop", metavar="JWK...|any", help="Public keys of its proofs.")
    ] = None,
    cert: Annotated[list[Path] | None, typer.Option("--cert", metavar="PEM...", help="Its TLS certificates.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Propose a client, or new keys and codes for one; somebody else has to approve.

    Proof keys are those of --dpop, else those of --jwks. `any` is for conformance tools and reads no data.
    """
    from gateway.registrations import client_from_files  # noqa: PLC0415  `--help` has no need of it

    def act(book: Any, now_ms: int) -> None:
        proposed = client_from_files(
            client_id,
            retailers=retailer,
            scope=scope,
            jwks=jwks,
            proof=dpop or (),
            certificates=cert or (),
            now_s=now_ms / 1000,
        )
        emit({"change": book.propose(proposed, by=by, now_ms=now_ms)})

    _with_book(home, act, as_json=as_json, make=True)


@client.command(epilog="Example: koma gateway client approve 3f2a… --by operator-2")
def approve(
    change: Annotated[str, typer.Argument(metavar="CHANGE", help="What `propose` printed.")],
    *,
    by: By,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let a proposed change hold; refused to whoever proposed it.

    Compare the keys' thumbprints with the retailer by another way first.
    """

    def act(book: Any, now_ms: int) -> None:
        emit(_shown(book.approve(change, by=by, now_ms=now_ms)))

    _with_book(home, act, as_json=as_json)


@client.command(epilog="Example: koma gateway client suspend r1 --by operator-1")
def suspend(client_id: ClientId, *, by: By, home: Home = None, as_json: Json = False) -> None:
    """Stop a client at once; a proposed and approved change lets it in again."""
    _stop(client_id, "suspended", by, home, as_json=as_json)


@client.command(epilog="Example: koma gateway client revoke r1 --by operator-1")
def revoke(client_id: ClientId, *, by: By, home: Home = None, as_json: Json = False) -> None:
    """Stop a client at once and for good: its id is never let in again."""
    _stop(client_id, "revoked", by, home, as_json=as_json)


@client.command("list", epilog="Example: koma gateway client list --json")
def list_clients(*, home: Home = None, as_json: Json = False) -> None:
    """Show the registered clients."""

    def act(book: Any, _now_ms: int) -> None:
        shown = [_shown(each) for each in book.registry().clients]
        if as_json:
            emit(shown)
        else:
            columns = ("client", "state", "retailers", "scopes")
            table("Clients", columns, [(each["client"], each["state"], *_words(each)) for each in shown])

    _with_book(home, act, as_json=as_json)


@client.command("new-keys", epilog="Example: koma gateway client new-keys ./r1 --name r1")
def new_keys(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if absent.")],
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name in the certificate.")] = "retailer",
    as_json: Json = False,
) -> None:
    """Make a retailer's keys for a trial: key.json, jwks.json, cert.pem, cert-key.pem.

    A retailer makes its own in earnest: private keys never leave it.
    """
    from gateway.trial_keys import make_trial_keys  # noqa: PLC0415  `--help` has no need of it

    try:
        made = make_trial_keys(folder, name)
    except (KomaError, OSError) as error:
        fail(error if isinstance(error, KomaError) else KomaError(str(error)), as_json=as_json)
    emit(made)


def _stop(client_id: str, state: str, by: str, home: Path | None, *, as_json: bool) -> None:
    def act(book: Any, now_ms: int) -> None:
        emit(_shown(book.stop(client_id, state, by=by, now_ms=now_ms)))

    _with_book(home, act, as_json=as_json)


def _with_book(home: Path | None, act: Callable[[Any, int], None], *, as_json: bool, make: bool = False) -> None:
    """Act on the inner zone's book; wrong input ends with status 1 and words. Only a proposal makes home and book."""
    import sqlite3  # noqa: PLC0415  `--help` has no need of all this

    from gateway.places import Places, check_home  # noqa: PLC0415
    from gateway.registrations import Registrations  # noqa: PLC0415
    from koma.clock import WallClock  # noqa: PLC0415

    file: Path | None = None
    try:
        root = load_settings(home=home).home
        check_home(root, make=make)
        file = Places(root).registrations
        book = Registrations(file if make or file.exists() else None)
        try:
            act(book, WallClock().now_ms())
        finally:
            book.close()
    except KomaError as error:
        fail(error, as_json=as_json)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        fail(GatewayError(f"{file} cannot be used: {reason}", hint="Look at its rights and owner"), as_json=as_json)


def _shown(held: Any) -> dict[str, Any]:
    return {
        "client": held.id,
        "state": held.state,
        "epoch": held.epoch,
        "retailers": list(held.retailers),
        "scopes": list(held.scopes),
        "keys": [key["kid"] for key in held.keys],
        "proof_keys": "any" if held.proof_keys is None else sorted(held.proof_keys),
        "certificates": [each.sha256 for each in held.certificates],
    }


def _words(shown: dict[str, Any]) -> tuple[str, str]:
    return " ".join(shown["retailers"]), " ".join(shown["scopes"])
