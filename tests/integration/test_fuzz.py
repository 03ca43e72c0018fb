# SPDX-License-Identifier: Apache-2.0
"""Damaged hand-over files of every format: no crash, no hang, no record unaccounted for; more by `./dev bench fuzz`."""

import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from pipeline.handover import EXTENSIONS, Chunk, Decoded, decode_chunk
from tests import fuzz_columns, fuzz_records, guard_pages
from tests.frame_encoder import fixed_time, frame, record
from tests.fuzz_files import Judgement, judged
from tests.fuzz_inputs import START_MS, seeds
from tests.fuzz_oracles import line_says, telegram_says
from tests.fuzzing import WAYS, Way, fuzz
from tests.guard_pages import guarded

DEEP = settings().max_examples >= 1000
INPUTS = {"files": 10_000 if DEEP else 200, "records": 50_000 if DEEP else 1_000}
FEW = 20
"""One of so many inputs, at least, has to get past the checks of the format itself."""
RECORDS = [each for each in WAYS if each.kind == "records"]


@pytest.mark.timeout(3600 if DEEP else 300)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_decoder_survives_damaged_inputs(tmp_path: Path, way: Way) -> None:
    result = fuzz(tmp_path, way, 0, INPUTS[way.kind])

    assert result.bad == []
    assert result.inputs == INPUTS[way.kind]
    assert result.counts["decoded"] > result.inputs // FEW, "hardly any input gets past the format's own checks"


@pytest.mark.timeout(3600 if DEEP else 300)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_kernel_leaves_its_arrays(tmp_path: Path, way: Way) -> None:
    inputs = INPUTS[way.kind] // 5

    result = fuzz(tmp_path, way._replace(guarded=True), 0, inputs)

    assert result.bad == []
    assert result.inputs == inputs


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_what_is_damaged_was_sound_before(tmp_path: Path, extension: str) -> None:
    for number, data in enumerate(seeds(tmp_path)[extension]):
        path = tmp_path / f"sound{extension}"
        path.write_bytes(data)
        found = judged(path, number)
        assert (found.outcome, found.wrong) == ("decoded", [])


@pytest.mark.parametrize("way", RECORDS, ids=lambda way: way.name)
def test_an_input_is_known_by_its_number(tmp_path: Path, way: Way) -> None:
    whole = way.made(tmp_path, 0, way.pack)
    number = way.pack - 2
    alone = way.made(tmp_path, number, number + 1)

    if way.extension in fuzz_columns.PARTS:
        at = [index for index, (one, other) in enumerate(zip(alone, whole, strict=True)) if one != other]
        assert len(alone) == len(whole)
        assert at, "the other parts of the file are sound where one is damaged"
    else:
        assert alone.split(b"\n")[-1] in whole


def one_row_less(chunk: Chunk) -> Decoded:
    """Decoder that loses its last row and says nothing of it."""
    decoded = decode_chunk(chunk)
    batch = decoded.batch
    names = ("keys", "read_at_ms", "received_ms", "import_register", "export_register", "place")
    return replace(decoded, batch=replace(batch, **{name: getattr(batch, name)[:-1] for name in names}))


def one_bit_more(chunk: Chunk) -> Decoded:
    """Decoder that misreads a register."""
    decoded = decode_chunk(chunk)
    registers = decoded.batch.import_register.copy()
    registers[:1] ^= 1
    return replace(decoded, batch=replace(decoded.batch, import_register=registers))


@pytest.mark.parametrize("wrong", [one_row_less, one_bit_more])
@pytest.mark.parametrize("way", RECORDS, ids=lambda way: way.name)
def test_a_decoder_that_loses_or_misreads_a_row_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way, wrong: object
) -> None:
    path = tmp_path / f"input{way.extension}"
    path.write_bytes(way.made(tmp_path, 0, way.pack))
    monkeypatch.setattr(fuzz_records, "decode_chunk", wrong)
    monkeypatch.setattr(fuzz_columns, "decode_chunk", wrong)

    found = [each for _, judgement in way.judged(path, tmp_path, 0, way.pack) for each in judgement.wrong]

    assert found


def test_the_second_readers_read_what_was_written() -> None:
    telegram = frame([fixed_time(0xEA, "2026-08-22T17:00:00", 7), fixed_time(0xEB, "2026-08-22T17:00:00", 9)])
    stamp, none = START_MS, 0xFFFF_FFFF

    meter, said = telegram_says(record(b"M1", START_MS + 5, telegram)[2:])
    assert (meter, said.rows, said.refused) == (b"M1", [(stamp, START_MS + 5, 7, 9)], [])

    line = b'"M""1",2026-08-22 17:00,, 7 ,2026-08-22T08:00:00.005Z\r'
    meter, said = line_says(line, (0, 1, 2, 3, 4), 5)
    assert (meter, said.rows, said.refused) == (b'M"1', [(stamp, START_MS + 5, none, 7)], [])

    assert line_says(b"M1,2026-08-22,1,100000000,2026-08-22", (0, 1, 2, 3, 4), 5)[1].refused == [("register_range", 2)]


def read_around(before: int, behind: int) -> None:
    """Read some bytes more of an array than it has, between guard pages."""

    def kernel(array: np.ndarray) -> bytes:
        return ctypes.string_at(array.ctypes.data - before, array.nbytes + before + behind)

    guarded(kernel)(np.arange(5, dtype=np.uint8))
    os._exit(7)


@pytest.mark.parametrize(("before", "behind", "status"), [(0, 0, 7), (1, 0, -signal.SIGSEGV), (0, 1, -signal.SIGSEGV)])
def test_one_byte_too_far_ends_the_process(before: int, behind: int, status: int) -> None:
    child = multiprocessing.get_context("forkserver").Process(target=read_around, args=(before, behind))
    child.start()
    child.join()
    assert child.exitcode == status


def test_every_kernel_of_the_decoders_is_guarded() -> None:
    for module, names in guard_pages.GUARDED.items():
        used = {name for name, each in vars(module).items() if hasattr(each, "py_func")}
        assert used == set(names), module.__name__


class Fatal:
    """A way whose input 3 kills its process and whose input 9 does not end."""

    name, extension, kind, guarded, pack = "fatal", ".csv", "records", False, 4

    def made(self, _folder: Path, _first: int, _last: int) -> bytes:
        return b""

    def judged(self, _path: Path, _folder: Path, first: int, last: int) -> object:
        for number in range(first, last):
            if number == 3:
                os.kill(os.getpid(), signal.SIGSEGV)
            while number == 9:
                time.sleep(0.1)
            yield number, Judgement("decoded")


def test_inputs_that_kill_or_hang_are_named_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOMA_FUZZ_DEADLINE_S", "1")

    result = fuzz(tmp_path, Fatal(), 0, 12)  # type: ignore[arg-type]

    assert [number for _, number, _ in result.bad] == [3, 9]
    assert result.counts == {"decoded": 10, "fatal": 2}


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def run(*options: str) -> dict[str, object]:
        command = [sys.executable, "-m", "benchmarks.fuzz", "--ways", ".csv records", "--workers", "1", *options]
        state = tmp_path / "state.json"
        done = subprocess.run([*command, "--state", str(state)], capture_output=True, text=True, check=True)
        told: dict[str, object] = json.loads(done.stdout)
        return told

    assert run("--inputs", "600")["inputs"] == 600
    assert run("--inputs", "1100")["inputs"] == 1100
    assert run("--inputs", "1100", "--minutes", "0")["inputs"] == 1100
    assert run("--inputs", "10", "--first", "5")["inputs"] == 10
    state = json.loads((tmp_path / "state.json").read_text())
    assert state[".csv records"]["done"] == [[0, 1100]]
