# SPDX-License-Identifier: Apache-2.0
"""Reads from memory, and writes, by address.

A kernel that hands an array to another counts references, with an atomic operation each time; in a walk over short
records that takes longer than the walk. So the walkers of bytes hand on addresses: `data.ctypes.data` of an array that
the caller holds. None of these checks a bound; who calls them has compared with the end.
"""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]  # comes with numba
from numba import types
from numba.extending import intrinsic

_WIDE = ir.IntType(64)


def _reader(bits: int, name: str, result: Any, *, swap: bool) -> Callable[[int], Any]:
    """Make a function of an address that reads a number of `bits`, its highest byte first if `swap`."""

    def read(_typing: Any, _address: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer())
            value = builder.load(pointer, align=1)
            if swap:
                value = builder.bswap(value)
            return value if bits == 64 else builder.zext(value, _WIDE)

        return result(types.int64), generate

    read.__name__ = name
    return cast("Callable[[int], Any]", intrinsic(read))


def _writer(bits: int, name: str) -> Callable[[int, int], None]:
    """Make a procedure of an address and a number that writes the lowest `bits` of the number as the machine does."""

    def write(_typing: Any, _address: Any, _number: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            kind = ir.IntType(bits)
            value = arguments[1] if bits == 64 else builder.trunc(arguments[1], kind)
            builder.store(value, builder.inttoptr(arguments[0], kind.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    write.__name__ = name
    return cast("Callable[[int, int], None]", intrinsic(write))


byte_at = cast("Callable[[int], int]", _reader(8, "byte_at", types.int64, swap=False))
"""Byte, as a signed number of 64 bits: numba makes a float of u64 and i64."""

be16 = cast("Callable[[int], int]", _reader(16, "be16", types.int64, swap=True))
"""Big-endian u16."""

be32 = cast("Callable[[int], int]", _reader(32, "be32", types.int64, swap=True))
"""Big-endian u32."""

be64 = cast("Callable[[int], int]", _reader(64, "be64", types.int64, swap=True))
"""Big-endian i64."""

le64 = _reader(64, "le64", types.uint64, swap=False)
"""Little-endian u64."""

word32_at = cast("Callable[[int], int]", _reader(32, "word32_at", types.int64, swap=False))
"""u32 as the machine holds it."""

word64_at = cast("Callable[[int], int]", _reader(64, "word64_at", types.int64, swap=False))
"""i64 as the machine holds it."""

put_word32 = _writer(32, "put_word32")
"""Write a u32 as the machine holds it."""

put_word64 = _writer(64, "put_word64")
"""Write an i64 as the machine holds it."""
