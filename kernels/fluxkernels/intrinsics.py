"""Single machine instructions, and access to memory, that Numba's Python does not have.

Arrays are read and written without Numba's test for indices below zero, which the compiler's
vectoriser does not see through. Records (named tuples of floats) stand in *rows* of `BLOCK` points:
field by field, so that neighbouring points are neighbours in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from llvmlite import ir
from numba import extending
from numba import types as numba_types

from fluxkernels import vector_math

types: Any = numba_types
F = TypeVar("F", bound=Callable[..., Any])


def intrinsic(codegen: F) -> Any:
    """Make an intrinsic of what types it and writes its code."""
    return extending.intrinsic(codegen)  # what calls it has other arguments than `codegen`


BLOCK = 128
"""Points that are solved side by side: what their passes touch fits in a first-level cache."""


def _integer(kind: Any) -> tuple[Any, int, int, int, float]:
    """Integer type of a float's width, and what takes a float apart by it.

    The place of the exponent, the bits of sqrt(1/2), and the bits and the value of a number so
    great that the lowest bits of what is added to it count ones.
    """
    if kind == types.float32:
        return ir.IntType(32), 23, 0x3F3504F3, 0x4B400000, 1.5 * 2.0**23
    return ir.IntType(64), 52, 0x3FE6A09E667F3BCD, 0x4338000000000000, 1.5 * 2.0**52


@intrinsic
def in_widest_registers(typingctx: Any) -> Any:
    """Have the loops of the function that calls this vectorised as wide as the processor can.

    Left to itself LLVM keeps to half of AVX-512's registers on Intel's processors, for programs
    that use them now and then; a kernel that does nothing else is a fifth faster with all of them.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        # llvmlite knows attributes that are words only, but writes what it is given.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic
def _split_bits(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word, place, root, great_bits, great = _integer(x)
        real = args[0].type
        bits = builder.bitcast(args[0], word)
        shift = ir.Constant(word, place)
        k = builder.ashr(builder.sub(bits, ir.Constant(word, root)), shift)
        m = builder.bitcast(builder.sub(bits, builder.shl(k, shift)), real)
        k = builder.bitcast(builder.add(k, ir.Constant(word, great_bits)), real)
        k = builder.fsub(k, ir.Constant(real, great))
        return context.make_tuple(builder, signature.return_type, [m, k])

    return types.UniTuple(x, 2)(x), codegen


@intrinsic
def _scaled_bits(typingctx: Any, x: Any, k: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word, place, _, _, great = _integer(x)
        shifted = builder.fadd(args[1], ir.Constant(args[1].type, great))
        step = builder.shl(builder.bitcast(shifted, word), ir.Constant(word, place))
        total = builder.add(builder.bitcast(args[0], word), step)
        return builder.bitcast(total, args[0].type)

    return x(x, x), codegen


@intrinsic
def _rounded(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rint = builder.module.declare_intrinsic("llvm.rint", [args[0].type])
        return builder.call(rint, args)

    return x(x), codegen


def _pointers(context: Any, builder: Any, array: Any, value: Any, offset: Any, rows: Any) -> Any:
    data = context.make_array(array)(context, builder, value).data
    for row in rows:
        place = builder.add(offset, ir.Constant(offset.type, row * BLOCK))
        yield builder.gep(data, [place], inbounds=True)


@intrinsic
def load(typingctx: Any, record: Any, wanted: Any, array: Any, offset: Any) -> Any:
    """Read a record from a column of the rows of another: `wanted` names some of its fields."""
    fields, names = record.instance_class._fields, wanted.instance_class._fields
    rows = [fields.index(name) for name in names]
    result = types.NamedUniTuple(array.dtype, len(names), wanted.instance_class)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointers = _pointers(context, builder, array, args[2], args[3], rows)
        return context.make_tuple(builder, result, [builder.load(p) for p in pointers])

    return result(record, wanted, array, types.intp), codegen


@intrinsic
def save(typingctx: Any, record: Any, array: Any, offset: Any, values: Any) -> Any:
    """Write a record, of some or all fields of `record`, into a column of the latter's rows."""
    fields = record.instance_class._fields
    rows = [fields.index(name) for name in values.fields]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointers = _pointers(context, builder, array, args[1], args[2], rows)
        for index, pointer in enumerate(pointers):
            value = builder.extract_value(args[3], index)
            kind = values.types[index]
            builder.store(context.cast(builder, value, kind, array.dtype), pointer)
        return context.get_dummy_value()

    return types.none(record, array, types.intp, values), codegen


@intrinsic
def peek(typingctx: Any, like: Any, address: Any, index: Any) -> Any:
    """Read the value with this index at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[1], context.get_data_type(like.dtype).as_pointer())
        return builder.load(builder.gep(pointer, [args[2]], inbounds=True))

    return like.dtype(like, types.intp, types.intp), codegen


@intrinsic
def poke(typingctx: Any, address: Any, index: Any, value: Any) -> Any:
    """Write a value with this index at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], args[2].type.as_pointer())
        builder.store(args[2], builder.gep(pointer, [args[1]], inbounds=True))
        return context.get_dummy_value()

    return types.none(types.intp, types.intp, value), codegen


@intrinsic
def get(typingctx: Any, array: Any, index: Any) -> Any:
    """Read a value of an array, without a test of the index."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]], inbounds=True))

    return array.dtype(array, types.intp), codegen


@intrinsic
def put(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a value of an array, without a test of the index."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[0]).data
        value = context.cast(builder, args[2], signature.args[2], array.dtype)
        builder.store(value, builder.gep(data, [args[1]], inbounds=True))
        return context.get_dummy_value()

    return types.none(array, types.intp, value), codegen


def _split(x: Any) -> Any:
    return _split_bits(x)


def _scaled(x: Any, k: Any) -> Any:
    return _scaled_bits(x, k)


def _nearest(x: Any) -> Any:
    return _rounded(x)


SUBSTITUTES: Mapping[Callable[..., Any], Callable[..., Any]] = {
    vector_math.split: _split,
    vector_math.scaled: _scaled,
    vector_math.nearest: _nearest,
}
"""What takes floats apart on a CPU, in place of what does in plain Python."""
