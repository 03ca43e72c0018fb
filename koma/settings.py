# SPDX-License-Identifier: Apache-2.0
"""Settings: what an operator may change, read once from `KOMA_*` variables over `koma.toml`.

The variable of a field is `KOMA_` and its name in capitals; `koma.toml` lies in the working directory and holds the
names in small letters at top level. Nobody else reads the environment for these. A name that is nearly a setting's is
refused: a mistyped setting must not leave the default in force unseen.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from koma import limits
from koma.errors import InstantError, SettingError
from koma.slots import MS_PER_SLOT, format_jst, parse_jst, slot_at_ms

PREFIX = "KOMA_"
FILE_NAME = "koma.toml"
HOME_DEFAULT = Path("var/koma")
OTHER_VARIABLES = frozenset({"KOMA_CI", "KOMA_DEEP", "KOMA_GATEWAY_RUNTIME", "KOMA_PYTHON", "KOMA_REAL_DATA"})
"""Variables of the tests, of `./dev` and between the gateway's processes: no settings."""
_SERVICE_LINK = re.compile(r"KOMA(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""What a container platform sets of itself for a service named `koma` or `koma-...`."""

Parser = Callable[[str], object]


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.strip().lstrip("-").isdecimal() or not lowest <= (value := int(text)) <= highest:
            message = f"a whole number from {lowest} to {highest} is needed"
            raise ValueError(message)
        return value

    return parse


def _one_of(*choices: str) -> Parser:
    def parse(text: str) -> str:
        if text not in choices:
            message = f"one of {', '.join(choices)} is needed"
            raise ValueError(message)
        return text

    return parse


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        message = "a base address such as https://localhost:8443 is needed"
        raise ValueError(message)
    return text.rstrip("/")


def _path(text: str) -> Path:
    if not text:
        message = "a path is needed"
        raise ValueError(message)
    return Path(text)


def _slot_start(text: str) -> int | None:
    if not text:
        return None
    ms = parse_jst(text)
    if ms % MS_PER_SLOT:
        message = f"a slot's start such as {format_jst(ms - ms % MS_PER_SLOT)} is needed"
        raise ValueError(message)
    return slot_at_ms(ms)


def _setting(default: Any, parse: Parser, help_text: str) -> Any:
    return field(default=default, metadata={"parse": parse, "help": help_text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One value per setting; `docs/reference/settings.md` is made from the fields."""

    home: Path = _setting(HOME_DEFAULT, _path, "Data directory. Relative to the working directory, or to `koma.toml`.")
    clock: str = _setting(
        "",
        _one_of("", "wall", "received", "manual"),
        "Business time: of the data (received, or empty; then `--watch` goes by the machine's), the machine's (wall), "
        "or moved by `koma clock set` (manual).",
    )
    stamp_tolerance_s: int = _setting(
        limits.STAMP_TOLERANCE_S,
        _whole(0, limits.SLOT_MINUTES * 30 - 1),
        "A stamp this close to a slot boundary counts as the boundary.",
    )
    too_old_days: int = _setting(
        limits.TOO_OLD_DAYS, _whole(1, 400), "A read stamped earlier than this before its arrival is quarantined."
    )
    clock_jump_days: int = _setting(
        limits.CLOCK_JUMP_DAYS, _whole(1, 400), "A file whose arrivals lie farther ahead waits for `--accept-clock`."
    )
    rows_per_file: int = _setting(
        limits.ROWS_PER_FILE_MAX, _whole(1, limits.ROWS_PER_FILE_MAX), "Most points in one delivery file."
    )
    cap_factor: int = _setting(4, _whole(1, 1000), "Energy above this times contract power is a spike.")
    cap_kw_default: int = _setting(100, _whole(1, 1_000_000), "Contract power of a point that has none, in kW.")
    deliveries_days: int = _setting(45, _whole(1, 4000), "Days that delivery files are kept.")
    keep_handovers_days: int = _setting(14, _whole(1, 4000), "Days that hand-over files are kept once taken in.")
    keep_registers_days: int = _setting(
        450,  # the revisions of a slot end with the 13th first of a month after day 45
        _whole(limits.TOO_OLD_DAYS + 3, 4000),
        "Days that registers are kept; a slot whose registers are gone is not revised any more.",
    )
    history: str = _setting(
        "", str, "Where the history of thirteen months lies: a path or an address such as s3://…; empty: in the home."
    )
    groups: str = _setting(
        "", str, "CSV file of points that share concentrators: point_id, group; empty: none is counted by group."
    )
    keep_channels_days: int = _setting(
        92,
        _whole(limits.TOO_OLD_DAYS + 3, 4000),
        "Days that registers between slot boundaries are kept, of meters read every 15, 5 or 1 minutes.",
    )
    estimate_linear_slots: int = _setting(
        4, _whole(0, 48), "Slots of the longest gap that an estimate fills along a line."
    )
    estimate_reach_days: int = _setting(
        7, _whole(1, 31), "Days of the longest gap whose estimates are made to add up to the registers at its ends."
    )
    estimate_reference_days: int = _setting(3, _whole(1, 14), "Reference days whose mean fills a longer gap, at most.")
    estimate_lookback_days: int = _setting(
        21, _whole(1, 92), "Days before a day among which its reference days are looked for."
    )
    first_slot: int | None = _setting(
        None,
        _slot_start,
        "Start of the first slot of a new home, such as 2026-10-07T00:00; empty: the earliest read decides.",
    )
    workers: int = _setting(2, _whole(1, 256), "Threads or processes that compute at once.")
    beam_mode: str = _setting(
        "threads",
        _one_of("threads", "processes"),
        "Whether the embedded runner works on threads or on worker processes.",
    )
    watch_delay_s: int = _setting(
        60, _whole(0, 3600), "With `--watch`, seconds after an instant at which it is issued."
    )
    watch_gather_s: int = _setting(
        10,
        _whole(0, 300),
        "With `--watch`, longest wait of a current hand-over file for others, to be taken in with them.",
    )
    watch_backfill_s: int = _setting(
        20,
        _whole(0, 3600),
        "With `--watch`, seconds that an instant waits for hand-over files of closed slots; current ones it waits for.",
    )
    turn_rows: int = _setting(
        limits.TURN_ROWS,
        _whole(limits.TURN_ROWS_MIN, limits.TURN_ROWS_MAX),
        "Rows that one turn of `--watch` takes in at most; a larger file goes alone.",
    )
    turn_bytes: int = _setting(
        limits.TURN_BYTES,
        _whole(limits.TURN_BYTES_MIN, limits.TURN_BYTES_MAX),
        "Bytes of hand-over files that one turn of `--watch` takes in at most; a larger file goes alone.",
    )
    gateway_url: str = _setting("https://localhost:8443", _base_url, "Issuer and base address of the gateway.")
    files_url: str = _setting("https://localhost:8444", _base_url, "Base address of the mutual-TLS file listener.")
    files_list_days: int = _setting(2, _whole(1, 45), "Days that the mutual-TLS file list reaches back.")
    dpop_nonce: str = _setting("off", _one_of("off", "on"), "Whether proofs must carry a nonce of the server.")
    redis_url: str = _setting("", str, "Address of Redis; empty: an embedded one is started.")
    nginx: str = _setting("", str, "Path of nginx; empty: the system's, else the embedded one.")


def setting_fields() -> tuple[Field[Any], ...]:
    """Every field of `Settings`, with its `help` in the metadata."""
    return fields(Settings)


def variable(name: str) -> str:
    """Environment variable of a setting.

    >>> variable("watch_delay_s")
    'KOMA_WATCH_DELAY_S'
    """
    return PREFIX + name.upper()


def load_settings(
    environ: Mapping[str, str] | None = None, cwd: Path | None = None, *, home: Path | None = None
) -> Settings:
    """Read the settings.

    Args:
        environ: variables; those of the process unless given.
        cwd: where `koma.toml` may lie and what relative paths start from; the working directory unless given.
        home: what a command's `--home` says; wins over both.

    Raises:
        SettingError: a value is out of range, a variable is named nearly like a setting, `koma.toml` is not TOML or
            holds an unknown name.

    """
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd
    _refuse_misspelt(environ)
    file = cwd / FILE_NAME
    texts = {name: (text, f"{name} in {file}") for name, text in _read_file(file).items()}
    for each in setting_fields():
        name = variable(each.name)
        if name in environ:
            texts[each.name] = (environ[name], name)
    if home is not None:
        texts["home"] = (str(home), "--home")
    given: dict[str, Any] = {
        each.name: _parsed(each, *texts[each.name]) for each in setting_fields() if each.name in texts
    }
    given["home"] = (cwd / given.get("home", HOME_DEFAULT)).absolute()
    return Settings(**given)


def unknown_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return variables that start with `KOMA_` and mean nothing to anybody, each with the setting's it may stand for.

    >>> unknown_variables({"KOMA_HOEM": "/srv/koma", "KOMA_COFFEE": "strong", "KOMA_WORKERS": "2"})
    {'KOMA_COFFEE': '', 'KOMA_HOEM': 'KOMA_HOME'}
    """
    environ = os.environ if environ is None else environ
    known = {each.name.upper() for each in setting_fields()}
    strange = sorted(
        name
        for name in environ
        if name.upper().startswith(PREFIX)
        and name.removeprefix(PREFIX) not in known
        and name not in OTHER_VARIABLES
        and not _SERVICE_LINK.fullmatch(name)
    )
    near = {name: get_close_matches(name[len(PREFIX) :].upper(), known, n=1, cutoff=0.7) for name in strange}
    return {name: PREFIX + found[0] if found else "" for name, found in near.items()}


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    for name, near in unknown_variables(environ).items():
        if near:
            raise SettingError(f"there is no setting {name}", hint=f"Did you mean {near}? Else unset {name}")


def _read_file(file: Path) -> dict[str, str]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingError(
            f"{file} cannot be read: {error.strerror}", hint="Look at its rights, or remove it"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{file} cannot be read: {error}"
        raise SettingError(message, hint="It holds lines such as watch_delay_s = 60") from error
    known = [each.name for each in setting_fields()]
    for name in content:
        if name not in known:
            near = get_close_matches(name.lower().removeprefix("koma_"), known, n=1)
            message = f"{file} holds the unknown setting {name!r}"
            raise SettingError(message, hint=f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}")
    return {name: str(value) for name, value in content.items()}


def _parsed(setting: Field[Any], text: str, where: str) -> object:
    try:
        return setting.metadata["parse"](text)
    except InstantError as error:
        raise SettingError(f"{where}: {error.message}", hint=error.hint) from error
    except ValueError as error:
        message = f"{where} is {text!r}: {error}"
        raise SettingError(message, hint=str(setting.metadata["help"])) from error
