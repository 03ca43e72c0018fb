# SPDX-License-Identifier: Apache-2.0
"""Kernels run on arrays that end, or begin, at a page nobody may touch: one byte too far ends the process.

Kernels check no bound, and those that walk bytes by address could not. So each array that a kernel is given is copied
to the end of readable memory, with gigabytes of nothing behind it; then to its beginning, with nothing before it. Both
runs have to say the same, and leave the same in what they write.
"""

import ctypes
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.handover import columns, delimited, plain, straight, telegrams

GUARDED = {
    telegrams: ("count_records", "decode_records"),
    delimited: ("count_lines", "parse_lines", "count_no_data"),
    columns: ("pack_ids", "take_ids", "judge_registers", "fill_registers", "judge_times", "extent", "count_no_data"),
    plain: ("id_lengths", "pack_marks"),
    straight: ("count_registers", "extent"),
}
"""Every kernel that the decoders call, where they call it from."""

_NOTHING_BYTES = 1 << 32
_ROOM_BYTES = 1 << 21
_PROT_NONE, _PROT_BOTH = 0, mmap.PROT_READ | mmap.PROT_WRITE
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # what nobody may touch takes no memory

_c = ctypes.CDLL(None, use_errno=True)
_c.mmap.restype = ctypes.c_void_p
_c.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_c.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class _Room:
    """Readable memory between two stretches of nothing."""

    def __init__(self) -> None:
        whole = _c.mmap(None, 2 * _NOTHING_BYTES + _ROOM_BYTES, _PROT_NONE, _PRIVATE, -1, 0)
        failed = whole in {None, ctypes.c_void_p(-1).value}
        if failed or _c.mprotect(whole + _NOTHING_BYTES, _ROOM_BYTES, _PROT_BOTH):
            raise OSError(ctypes.get_errno(), "no address space for guard pages")
        held = (ctypes.c_uint8 * _ROOM_BYTES).from_address(whole + _NOTHING_BYTES)
        self._bytes: NDArray[np.uint8] = np.ctypeslib.as_array(held)

    def hold(self, array: NDArray[Any], *, at_end: bool) -> NDArray[Any]:
        """Copy an array to one end of the room: same type, shape, strides and right to write."""
        size = array.nbytes
        overlaid = array.strides == (1,) and array.itemsize > 1 and array.size > 0
        if overlaid:  # a word from each byte on
            size = array.size - 1 + array.itemsize
        place = self._bytes[len(self._bytes) - size :] if at_end else self._bytes[:size]
        if overlaid:
            place[: array.size] = array.astype(np.uint8)
            place[array.size - 1 :] = np.frombuffer(array[-1:].tobytes(), np.uint8)
            held: NDArray[Any] = np.ndarray(array.shape, array.dtype, place, strides=(1,))
        else:
            held = place.view(array.dtype).reshape(array.shape)
            held[...] = array
        held.flags.writeable = array.flags.writeable
        return held


_rooms: list[_Room] = []


def guarded(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a kernel so that it runs in both rooms.

    Raises:
        AssertionError: the two runs differ.
    """

    def run(*arguments: Any) -> Any:
        results = [_run(kernel, arguments, at_end=at_end) for at_end in (False, True)]
        (first, _), (second, written) = results
        same = all(np.array_equal(one, other) for one, other in zip(results[0][1], written, strict=True))
        if first != second or not same:
            raise AssertionError(f"{kernel} depends on what lies around its arrays: {first} or {second}")
        targets = [each for each in arguments if isinstance(each, np.ndarray) and each.flags.writeable]
        for target, what in zip(targets, written, strict=True):
            target[...] = what
        return second

    return run


def _run(kernel: Callable[..., Any], arguments: tuple[Any, ...], *, at_end: bool) -> tuple[Any, list[NDArray[Any]]]:
    arrays = [each for each in arguments if isinstance(each, np.ndarray)]
    while len(_rooms) < len(arrays):
        _rooms.append(_Room())
    rooms = iter(_rooms)
    held = [next(rooms).hold(each, at_end=at_end) if isinstance(each, np.ndarray) else each for each in arguments]
    result = kernel(*held)
    return result, [each.copy() for each in held if isinstance(each, np.ndarray) and each.flags.writeable]


def guard_kernels() -> None:
    """Guard every kernel that the decoders of this process call, for good."""
    for module, names in GUARDED.items():
        for name in names:
            setattr(module, name, guarded(getattr(module, name)))
