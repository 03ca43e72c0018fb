# SPDX-License-Identifier: Apache-2.0
"""Moves of whole blocks between byte arrays, at any address; numba alone would go byte by byte.

None of these checks a bound: the caller leaves room for a whole block at both ends.
"""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]  # comes with numba
from numba import types
from numba.extending import intrinsic

_BYTE = ir.IntType(8)
_WORD = ir.IntType(64)


def _address(context: Any, builder: Any, kind: Any, array: Any, at: Any, of: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), of.as_pointer())


def _mover(width: int) -> Callable[..., None]:
    """Make `move(target, at, source, start)`, which copies `width` bytes."""
    block = ir.VectorType(_BYTE, width)

    def move(_typing: Any, target: Any, _at: Any, source: Any, _start: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            into = _address(context, builder, signature.args[0], arguments[0], arguments[1], block)
            out_of = _address(context, builder, signature.args[2], arguments[2], arguments[3], block)
            builder.store(builder.load(out_of, align=1), into, align=1)
            return context.get_dummy_value()

        return types.void(target, types.intp, source, types.intp), generate

    move.__name__ = f"move_{width}"
    return cast("Callable[..., None]", intrinsic(move))


def _put_word(_typing: Any, target: Any, _at: Any, _word: Any) -> Any:
    """Write the 8 bytes of a number, lowest first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into = _address(context, builder, signature.args[0], arguments[0], arguments[1], _WORD)
        builder.store(arguments[2], into, align=1)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.uint64), generate


def _read_ordered(_typing: Any, source: Any, _start: Any) -> Any:
    """Read 8 bytes as the number whose order is that of the bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = _address(context, builder, signature.args[0], arguments[0], arguments[1], _WORD)
        return builder.bswap(builder.load(word, align=1))

    return types.uint64(source, types.intp), generate


def _not_plain(_typing: Any, source: Any, _start: Any) -> Any:
    """Look at 32 bytes; bit k is set where byte k is no printable ASCII, or one that XML text has to escape."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(_BYTE, 32)

        def all_of(letter: int) -> Any:
            return ir.Constant(kind, [letter] * 32)

        address = _address(context, builder, signature.args[0], arguments[0], arguments[1], kind)
        text = builder.load(address, align=1)
        odd = builder.icmp_unsigned("<", text, all_of(0x20))
        odd = builder.or_(odd, builder.icmp_unsigned(">=", text, all_of(0x7F)))
        odd = builder.or_(odd, builder.icmp_unsigned("==", text, all_of(ord("&"))))
        either = builder.or_(text, all_of(ord("<") ^ ord(">")))
        odd = builder.or_(odd, builder.icmp_unsigned("==", either, all_of(ord(">"))))
        return builder.zext(builder.bitcast(odd, ir.IntType(32)), _WORD)

    return types.int64(source, types.intp), generate


def _prefetch(_typing: Any, source: Any, _start: Any) -> Any:
    """Ask for a cache line ahead of its use; any address may be asked for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        flag = ir.IntType(32)
        address = _address(context, builder, signature.args[0], arguments[0], arguments[1], _BYTE)
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), flag, flag, flag])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [_BYTE.as_pointer()], kind)
        builder.call(ask, [address, flag(0), flag(1), flag(1)])
        return context.get_dummy_value()

    return types.void(source, types.intp), generate


move_8 = _mover(8)
move_16 = _mover(16)
move_32 = _mover(32)
move_64 = _mover(64)
put_word = cast("Callable[..., None]", intrinsic(_put_word))
read_ordered = cast("Callable[..., Any]", intrinsic(_read_ordered))
not_plain = cast("Callable[..., int]", intrinsic(_not_plain))
prefetch = cast("Callable[..., None]", intrinsic(_prefetch))
