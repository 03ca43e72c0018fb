# SPDX-License-Identifier: Apache-2.0
"""`koma decode`: real telegrams by the words of their notes, files of every format, and what cannot be read."""

import json
import os
import pty
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from koma.slots import parse_jst
from pipeline.handover import EXTENSIONS
from pipeline.handover.write import write_arrow, write_csv, write_echonet, write_parquet
from tests.frame_encoder import record
from tests.hand_over import MS, Read, batch_of, outcome_of

KOMA = [sys.executable, "-c", "from koma.cli import main; main()", "decode"]
GOLDEN = "1081000102880105FF017201EA0B07EA0816110000000392BE"
SLOT_MS = 1_800_000

PLAIN = {9: "80", 10: "81", 11: "82", 13: "88", 14: "8A", 15: "8D", 19: "9D", 20: "9E", 21: "9F"}
"""Properties of any device: shown as they are."""
REFUSED_BY_METER = {12: "83", 18: "9C"}
MEANINGS: dict[int, dict[str, object]] = {
    0: {"epc": "D3", "coefficient": 1},
    2: {"epc": "D7", "digits": 6},
    3: {"epc": "E0", "register": 65139},
    5: {"epc": "E7", "watt": 632},
    6: {"epc": "E8", "ampere_r": 3.0, "ampere_t": 5.0},
    7: {"epc": "EA", "read_at": "2026-05-20T14:00:00+09:00", "register": 65128},
    8: {"epc": "EB", "read_at": "2026-05-24T22:30:00+09:00", "register": 22},
    16: {"epc": "97", "time": "14:26"},
    17: {"epc": "98", "date": "2026-05-20"},
    22: {"epc": "EA", "read_at": "9999-12-01T23:59:30+09:00", "register": 99_999_999},
}
DIFFERENCES = "2 2 2 1 2 1 2 2 2 1 2 1 2 2 2 1 2 1 2 2 1 2 2 1 2 2 1 2 1 2 2 2 1 2 1 2 2 2 1 2 2 2 2 1 2 2 2"
"""Of the 48 registers of the captured history."""


def run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*KOMA, *arguments], input=given, capture_output=True, check=False, timeout=120)


def answers(*arguments: str, given: str = "") -> list[dict[str, Any]]:
    done = run(*arguments, given=given.encode())
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def real_frames(real_data: Path) -> dict[int, str]:
    lines = (real_data / "echonet" / "frames.jsonl").read_text().splitlines()
    return {each["n"]: each["hex"] for each in map(json.loads, lines)}


@pytest.fixture(scope="module")
def real_answers(real_frames: dict[int, str]) -> dict[int, dict[str, Any]]:
    found = answers("--hex", given="\n".join(real_frames.values()))
    return dict(zip(real_frames, found, strict=True))


def test_every_real_frame_means_what_its_note_says_or_is_refused(real_answers: dict[int, dict[str, Any]]) -> None:
    assert {number for number, each in real_answers.items() if "error" in each} == {25}
    for number, answer in real_answers.items():
        if number in MEANINGS:
            (found,) = answer["properties"]
            assert (answer["esv"], answer["seoj"]) == ("72", "028801")
            assert {name: value for name, value in found.items() if name != "edt"} == MEANINGS[number]
        elif number in PLAIN:
            (found,) = answer["properties"]
            assert found == {"epc": PLAIN[number], "edt": found["edt"]}
        elif number in REFUSED_BY_METER:
            assert answer["esv"] == "52"
            assert answer["service"] == "Get_SNA"
            assert answer["properties"] == [{"epc": REFUSED_BY_METER[number], "edt": ""}]
        else:
            assert number in {1, 4, 23, 24, 25}


def test_the_real_histories_have_their_differences(real_answers: dict[int, dict[str, Any]]) -> None:
    (history,) = real_answers[4]["properties"]
    assert history["day"] == 11
    registers = history["registers"]
    assert (len(registers), registers[0], registers[-1]) == (48, 63334, 63414)
    found = [later - earlier for earlier, later in pairwise(registers)]
    assert " ".join(map(str, found)) == DIFFERENCES
    (history,) = real_answers[23]["properties"]
    assert (history["day"], history["registers"]) == (1, list(range(1_111_111, 1_111_159)))


def test_the_odd_real_frames_are_what_they_are(real_answers: dict[int, dict[str, Any]]) -> None:
    node = real_answers[1]
    assert (node["esv"], node["service"], node["seoj"]) == ("73", "INF", "0EF001")
    assert node["properties"] == [{"epc": "D5", "edt": "01028801"}]
    lengths = real_answers[24]["properties"]
    assert [(each["epc"], each["edt"]) for each in lengths] == [("80", "30"), ("88", "0042"), ("89", "")]
    refused = real_answers[25]
    assert refused["error"] == {"offset": 13, "reason": "EPC E7: PDC 2: it has 4 bytes"}
    assert (refused["esv"], refused["seoj"]) == ("72", "028801")


def test_the_real_frames_in_one_container_bring_the_same(tmp_path: Path, real_frames: dict[int, str]) -> None:
    received = parse_jst("2026-05-31T09:00")
    records = [record(b"%d" % number, received, bytes.fromhex(each)) for number, each in real_frames.items()]
    path = tmp_path / "real.echonet"
    path.write_bytes(b"".join(records))
    found = outcome_of(path)
    assert found.reads[48:50] == [
        Read("7", parse_jst("2026-05-20T14:00"), 65128, None, received),
        Read("8", parse_jst("2026-05-24T22:30"), None, 22, received),
    ]
    assert found.reads[50] == Read("22", parse_jst("9999-12-01T23:59:30"), 99_999_999, None, received)
    history = found.reads[:48]
    assert {each.meter_id for each in history} == {"4"}
    assert [each.read_at_ms for each in history] == [parse_jst("2026-05-20") + SLOT_MS * slot for slot in range(48)]
    differences = [later[2] - earlier[2] for earlier, later in pairwise(history) if later[2] and earlier[2] is not None]
    assert " ".join(map(str, differences)) == DIFFERENCES
    assert [(each.import_register, each.read_at_ms) for each in found.reads[51:]] == [
        (1_111_111 + slot, parse_jst("2026-05-30") + SLOT_MS * slot) for slot in range(48)
    ]
    assert found.filtered == {"class": 1, "esv": 2, "property": 19}
    (refused,) = found.rejected
    assert (refused.code, refused.place, refused.raw) == ("frame", len(b"".join(records[:-1])), records[-1])
    assert found.no_data == 0


def test_each_line_has_one_answer_and_blank_ones_none() -> None:
    lines = ["", GOLDEN, "  ", GOLDEN.lower(), " ".join(GOLDEN), GOLDEN[:-2], GOLDEN[:-1], "0x10", "1081é", "\t", "10"]
    found = answers("--hex", given="\n".join(lines))
    meaning = {"epc": "EA", "edt": GOLDEN[28:], "read_at": "2026-08-22T17:00:00+09:00", "register": 234174}
    assert [each.get("properties") for each in found[:3]] == [[meaning]] * 3
    errors = [(each["error"]["offset"], each["error"]["reason"]) for each in found[3:]]
    assert errors[0][0] == 12
    assert "inside a property" in errors[0][1]
    assert errors[1] == (24, "49 hex digits are no whole number of bytes")
    assert errors[2] == (0, "character 2 is no hex digit: 'x'")
    assert errors[3][0] == 2
    assert errors[4] == (1, "the frame ends after 1 bytes, inside its header")
    assert all("properties" not in each for each in found[3:])


def test_a_line_is_answered_before_the_next_comes() -> None:
    with subprocess.Popen([*KOMA, "--hex"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write(GOLDEN.encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["esv"] == "72"
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_file_of_each_format_is_counted_and_its_first_rows_shown(tmp_path: Path) -> None:
    batch = batch_of([Read(f"M{index}", MS + index * SLOT_MS, index, None if index % 2 else 7) for index in range(30)])
    paths = [tmp_path / f"reads{extension}" for extension in EXTENSIONS]
    write_arrow(paths[0], batch)
    write_parquet(paths[1], batch)
    write_csv(paths[2], batch)
    write_csv(paths[3], batch, "gz")
    write_csv(paths[4], batch, "zst")
    write_echonet(paths[5], batch)
    found = answers("--json", "--rows", "2", *map(str, paths))
    counts = ("file", "rows", "reads", "no_data", "rejected", "filtered", "ignored_columns")
    assert [[each[name] for name in counts] for each in found] == [[str(path), 30, 45, 0, 0, {}, []] for path in paths]
    for each in found:
        first, second = ({name: row[name] for name in row if name != "place"} for row in each["first"])
        assert first == {
            "meter_id": "M0",
            "read_at": "2026-08-22T17:00:00+09:00",
            "import_register": 0,
            "export_register": 7,
            "received_at": "2026-08-22T08:02:05.250Z",
        }
        assert (second["meter_id"], second["export_register"]) == ("M1", None)


def test_what_is_refused_is_shown_with_its_place_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "reads.csv"
    path.write_text(
        "meter_id,read_at,import_register,received_at,note\n"
        "M1,2026-08-22T17:00,12x,2026-08-22T08:00Z,a\n"
        "M2,2026-08-22T17:00,4294967294,2026-08-22T08:00Z,b\n"
    )
    (found,) = answers(str(path))
    assert (found["rows"], found["reads"], found["no_data"], found["rejected_reads"]) == (1, 0, 1, 1)
    assert found["ignored_columns"] == ["note"]
    (refused,) = found["refusals"]
    assert (refused["place"], refused["code"]) == (2, "register_range")
    assert refused["raw"] == "M1,2026-08-22T17:00,12x,2026-08-22T08:00Z,a"
    container = tmp_path / "reads.echonet"
    container.write_bytes(record(b"M1", MS, bytes.fromhex(GOLDEN)[:-1]))
    (found,) = answers(str(container))
    assert found["refusals"][0]["code"] == "frame"
    assert found["refusals"][0]["raw"] == container.read_bytes().hex().upper()


def test_a_file_that_cannot_be_read_fails_and_the_others_are_shown(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.arrow"
    write_csv(good, batch_of([Read("M1")]))
    bad.write_bytes(b"ARROW1")
    done = run(str(bad), str(good))
    assert done.returncode == 1
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["error"]["code"] == "handover.unreadable"
    assert "bad.arrow" in first["error"]["message"]
    assert first["error"]["hint"]
    assert second["rows"] == 1


@pytest.mark.parametrize(("name", "what"), [("gone.csv", "is not there"), ("folder", "is a folder")])
def test_what_is_no_file_is_named_as_such(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "folder").mkdir()
    done = run(str(tmp_path / name))
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["message"] == f"{tmp_path / name} {what}"


def test_files_or_frames_but_not_both_and_not_neither(tmp_path: Path) -> None:
    assert run().returncode == 2
    assert run("--hex", str(tmp_path / "reads.csv")).returncode == 2
    assert run("--rows", "-1", str(tmp_path / "reads.csv")).returncode == 2


def test_the_example_in_the_help_works_as_printed() -> None:
    done = run("--help")
    assert done.returncode == 0
    (example,) = [line for line in done.stdout.decode().splitlines() if line.startswith("Example: ")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = subprocess.run(
        ["/bin/sh", "-c", example.removeprefix("Example: ")],
        env=os.environ | {"PATH": path},
        capture_output=True,
        check=True,
    )
    assert json.loads(shown.stdout)["properties"][0]["watt"] == 632


def on_terminal(*arguments: str, given: bytes = b"") -> str:
    """What a person sees: standard output and error are a terminal."""
    outer, inner = pty.openpty()
    try:
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "160", "NO_COLOR": "1"}
        with subprocess.Popen(
            [*KOMA, *arguments], stdin=subprocess.PIPE, stdout=inner, stderr=inner, env=environment
        ) as process:
            process.communicate(given, timeout=120)
        os.close(inner)
        inner = -1
        seen = b""
        try:
            while piece := os.read(outer, 65_536):
                seen += piece
        except OSError:  # the terminal is gone once nobody writes to it
            pass
        return seen.decode()
    finally:
        os.close(outer)
        if inner >= 0:
            os.close(inner)


def test_people_get_tables_on_a_terminal_unless_they_ask_for_json(tmp_path: Path) -> None:
    path = tmp_path / "reads.csv"
    write_csv(path, batch_of([Read("M1", MS, 234174, None), Read("M2", MS, 100_000_000, None)]))
    seen = on_terminal(str(path))
    for word in ("234,174", "2026-08-22 17:00:00", "register_range", "rejected_reads"):
        assert word in seen
    assert "{" not in seen
    seen = on_terminal("--hex", given=f"{GOLDEN}\n{GOLDEN[:-2]}\n".encode())
    assert "register 234174" in seen
    assert "line 2: Get_Res from 028801: refused at byte 12" in seen
    assert json.loads(on_terminal("--hex", "--json", given=GOLDEN.encode()))["esv"] == "72"
