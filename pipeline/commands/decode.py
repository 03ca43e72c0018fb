# SPDX-License-Identifier: Apache-2.0
"""Show what stands in hand-over files and telegrams.

Example: echo 1081000102880105FF017201E70400000278 | koma decode --hex
"""

import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from koma.errors import HandoverError, InstantError
from koma.limits import BATCH_READS_MAX, NO_DATA, NO_READ
from koma.output import emit, note, progress, table

if TYPE_CHECKING:
    from pipeline.handover import Decoded, ReadBatch

app = typer.Typer(help=__doc__, add_completion=False)

_EXAMPLE = "Example: echo 1081000102880105FF017201E70400000278 | koma decode --hex"
_RAW_CHARS = 60
_TIME = re.compile(r"^(\d{4}-\d\d-\d\d)T([0-9:.]+)(?:Z|\+09:00)$")


@app.command(epilog=_EXAMPLE)
def decode(
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE...", help="Hand-over files.")] = None,
    *,
    as_hex: Annotated[
        bool, typer.Option("--hex", help="Read telegrams as hex, one a line, from standard input.")
    ] = False,
    rows: Annotated[int, typer.Option("--rows", min=0, help="Rows and refusals to show of each file.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Show hand-over files (.arrow, .parquet, .csv, .csv.gz, .csv.zst, .echonet), or telegrams as hex.

    Prints a table on a terminal, else one JSON line for each file or frame. A file that cannot be read makes the exit
    status 1. A frame that cannot be read does not: its line says why.
    """
    if as_hex == bool(files):
        raise typer.BadParameter("give files, or --hex and frames on standard input")
    for_people = not as_json and sys.stdout.isatty()
    if as_hex:
        _decode_frames(for_people=for_people)
        return
    failed = [path for path in files or [] if not _decode_file(path, rows, for_people=for_people)]
    if failed:
        raise SystemExit(1)


def _decode_frames(*, for_people: bool) -> None:
    """Answer each line as it comes, so that the command can stand in a pipe that never ends."""
    from pipeline.telegram import explain  # noqa: PLC0415  `--help` has no need of it

    for number, line in enumerate(sys.stdin.buffer, 1):
        text = b"".join(line.split())
        if not text:
            continue
        answer = _refuse_hex(text) or explain(bytes.fromhex(text.decode()))
        if for_people:
            _show_frame(number, answer)
        else:
            emit(answer)


def _refuse_hex(text: bytes) -> dict[str, object] | None:
    """Say where a line stops being hex."""
    for at, letter in enumerate(text):
        if letter not in b"0123456789abcdefABCDEF":
            return {"error": {"offset": at // 2, "reason": f"character {at + 1} is no hex digit: {chr(letter)!r}"}}
    if len(text) % 2:
        return {"error": {"offset": len(text) // 2, "reason": f"{len(text)} hex digits are no whole number of bytes"}}
    return None


def _show_frame(number: int, answer: dict[str, object]) -> None:
    error, properties = answer.get("error"), answer.get("properties")
    title = f"line {number}"
    if "esv" in answer:
        title += f": {answer['service'] or answer['esv']} from {answer['seoj']}"
    if isinstance(error, dict):
        note(f"{title}: refused at byte {error['offset']}: {error['reason']}")
    if isinstance(properties, list):
        lines = []
        for each in properties:
            meaning = {name: value for name, value in each.items() if name not in {"epc", "edt"}}
            words = ", ".join(f"{name} {'no data' if value is None else value}" for name, value in meaning.items())
            lines.append([each["epc"], _cut(each["edt"]), words])
        table(title, ["EPC", "EDT", "meaning"], lines)


def _decode_file(path: Path, rows: int, *, for_people: bool) -> bool:
    """Show one file; False if it cannot be read."""
    from pipeline.handover import decode_chunk, plan_chunks  # noqa: PLC0415  `--help` has no need of arrays

    summary: dict[str, object] = {"file": str(path)}
    counts: Counter[str] = Counter()
    filtered: Counter[str] = Counter()
    first: list[dict[str, object]] = []
    refusals: list[dict[str, object]] = []
    error: HandoverError | None = None
    ignored: tuple[str, ...] = ()
    try:
        _refuse_absent(path)
        chunks = plan_chunks(path, BATCH_READS_MAX)
        with progress(f"decoding {path.name}", len(chunks)) as advance:
            for chunk in chunks:
                decoded = decode_chunk(chunk)
                _count(decoded, counts, filtered)
                ignored = decoded.ignored_columns
                first += _rows(decoded.batch, rows - len(first))
                refusals += _refusals(decoded, rows - len(refusals))
                advance()
    except HandoverError as unreadable:
        error = unreadable
    names = ("rows", "reads", "no_data", "rejected", "rejected_reads")
    summary |= {name: counts[name] for name in names}
    summary |= {"filtered": dict(filtered), "ignored_columns": list(ignored), "first": first, "refusals": refusals}
    if error is not None:
        summary["error"] = {"code": error.code, "message": error.message, "hint": error.hint}
    if for_people:
        _show_file(summary, first, refusals, error)
    else:
        emit(summary)
    return error is None


def _refuse_absent(path: Path) -> None:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise HandoverError(f"{path} {what}", hint="Name hand-over files, such as landing/reads.csv.gz")


def _count(decoded: "Decoded", counts: Counter[str], filtered: Counter[str]) -> None:
    batch = decoded.batch
    counts["rows"] += len(batch)
    for column in (batch.import_register, batch.export_register):
        counts["reads"] += int((column < NO_DATA).sum())
    counts["no_data"] += decoded.no_data
    counts["rejected"] += len(decoded.rejected)
    counts["rejected_reads"] += sum(each.reads for each in decoded.rejected)
    filtered.update(decoded.filtered)


def _rows(batch: "ReadBatch", count: int) -> list[dict[str, object]]:
    """First rows of a batch, in words."""
    from koma.ids import meter_id_of_key  # noqa: PLC0415
    from koma.slots import format_jst, format_utc  # noqa: PLC0415

    def moment(ms: int, *, jst: bool) -> str:
        try:
            return format_jst(ms) if jst else format_utc(ms)
        except InstantError:
            return f"{ms} ms"

    def register(value: int) -> int | None:
        return None if value in {NO_READ, NO_DATA} else value

    return [
        {
            "place": int(batch.place[row]),
            "meter_id": meter_id_of_key(int(batch.keys[row, 0]), int(batch.keys[row, 1])),
            "read_at": moment(int(batch.read_at_ms[row]), jst=True),
            "import_register": register(int(batch.import_register[row])),
            "export_register": register(int(batch.export_register[row])),
            "received_at": moment(int(batch.received_ms[row]), jst=False),
        }
        for row in range(max(0, min(count, len(batch))))
    ]


def _refusals(decoded: "Decoded", count: int) -> list[dict[str, object]]:
    return [
        {
            "place": each.place,
            "code": each.code,
            "detail": each.detail,
            "reads": each.reads,
            "raw": each.raw.hex().upper() if decoded.batch.source.lower().endswith(".echonet") else _text(each.raw),
        }
        for each in decoded.rejected[: max(0, count)]
    ]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _show_file(
    summary: dict[str, object],
    first: list[dict[str, object]],
    refusals: list[dict[str, object]],
    error: HandoverError | None,
) -> None:
    if error is not None:
        note(f"koma: {error.code}: {error}")
    names: tuple[str, ...] = ("place", "meter_id", "read_at", "import_register", "export_register", "received_at")
    if first:
        lines = [[_plain(each[name]) for name in names] for each in first]
        columns = ("place", "meter", "read at, JST", "import", "export", "received at, UTC")
        table(f"{summary['file']}: first rows", columns, lines)
    if refusals:
        lines = [
            [each["place"], each["code"], each["detail"], each["reads"], _cut(str(each["raw"]))] for each in refusals
        ]
        table(f"{summary['file']}: refused", ["place", "code", "detail", "reads", "raw"], lines)
    if error is not None and not first and not refusals:
        return
    shown = {name: value for name, value in summary.items() if isinstance(value, int)}
    shown |= {f"filtered: {name}": count for name, count in _items(summary["filtered"])}
    table(f"{summary['file']}: counts", ["what", "number"], list(shown.items()))
    ignored = summary["ignored_columns"]
    if isinstance(ignored, list) and ignored:
        note(f"{summary['file']}: columns left out: {', '.join(ignored)}")


def _plain(value: object) -> object:
    """Return a value as a narrow table shows it: times without the zone, which its head names, nothing for null."""
    return "" if value is None else _TIME.sub(r"\1 \2", value) if isinstance(value, str) else value


def _items(filtered: object) -> list[tuple[str, int]]:
    return list(filtered.items()) if isinstance(filtered, dict) else []


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= _RAW_CHARS else text[: _RAW_CHARS - 1] + "…"
