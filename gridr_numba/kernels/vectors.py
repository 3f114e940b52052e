"""Pixels four or eight at a time, as vector instructions: what numba does not make of a loop.

The only file with vectors. Each function has a plain twin, which says what it computes, and runs where nothing is
compiled: the same products and sums in the same order, so the bits are the same on every processor. In float32, a
product and the sum that it is added to are rounded once, as IEEE 754 has it (fused multiply-add); in float64, both are.
Processors without that instruction, or code that is not compiled for it, call the C library for it: the same, slowly.

All take a flat table of pixels in rows `stride` apart, and write four or eight numbers of `out` from `j` on, each from
``places[j]``, which says where in the table its first tap is, beyond `base`, and from its fractions along rows and
columns. Places are float64 with 2**52 added, looked at as integers: the lower 52 bits are the number. Pixels are of the
type of `out`; those of two by two may be integers of one or two bytes, which are numbers of that type too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

#: Added to a place, a whole number from 0 on: its lower bits then are that number.
PLACE_BASE = 2.0**52
PLACE_BITS = 2**52 - 1
#: The upper bits of such a place: what is left without them is that number too.
BASE_BITS = int(np.float64(PLACE_BASE).view(np.int64))

#: Keys' kernel with a = -0.5: of each of the four taps, of the powers of the fraction.
KEYS = ((0.0, -0.5, 1.0, -0.5), (1.0, 0.0, -2.5, 1.5), (0.0, 0.5, 2.0, -1.5), (0.0, 0.0, -0.5, 0.5))

#: Scratch for a row of pixels has a multiple of so many numbers.
MOST_AT_A_TIME = 8

#: Numbers of a place of the table of Lanczos' weights: six taps. The last two are not looked at.
LANES = 8

# -- plain ----------------------------------------------------------------------------------------------------------


def _fused(a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c: of float32, rounded once."""
    if np.result_type(a, b, c) != np.float32:
        return a * b + c
    product, c = np.asarray(a, np.float64) * b, np.asarray(c, np.float64)  # exact
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)
    # Rounded to odd: then rounding to float32 is as if from the exact sum.
    even = np.asarray(total).view(np.int64) % 2 == 0
    away = even & (error != 0) & np.isfinite(error)
    return np.where(away, np.nextafter(total, np.copysign(np.inf, error)), total).astype(np.float32)


def _rows_of_taps(pixels: Any, places: Any, base: Any, stride: Any, rows: int, cols: int, dtype: Any) -> list[Any]:
    """Return the taps of some pixels, row by row: (pixels, cols) each."""
    starts = (places.astype(np.int64) & PLACE_BITS) + int(base)
    return [pixels[starts[:, np.newaxis] + row * int(stride) + np.arange(cols)].astype(dtype) for row in range(rows)]


def _plain_linear(
    pixels: Any, base: Any, stride: Any, places: Any, row_fractions: Any, col_fractions: Any, j: Any, out: Any
) -> None:
    eight = slice(int(j), int(j) + 8)
    one = out.dtype.type(1)
    f, g = row_fractions[eight], col_fractions[eight]
    top, bottom = _rows_of_taps(pixels, places[eight], base, stride, 2, 2, out.dtype)
    left, right = (_fused(bottom[:, col], f, top[:, col] * (one - f)) for col in range(2))
    out[eight] = _fused(right, g, left * (one - g))


def _plain_cubic(
    pixels: Any, base: Any, stride: Any, places: Any, row_fractions: Any, col_fractions: Any, j: Any, out: Any
) -> None:
    eight = slice(int(j), int(j) + 8)
    c = np.array(KEYS, out.dtype).T
    f, g = row_fractions[eight, np.newaxis], col_fractions[eight, np.newaxis]
    down, across = (_fused(_fused(_fused(c[3], x, c[2]), x, c[1]), x, c[0]) for x in (f, g))
    sums = _summed_down(_rows_of_taps(pixels, places[eight], base, stride, 4, 4, out.dtype), down) * across
    out[eight] = (sums[:, 0] + sums[:, 2]) + (sums[:, 1] + sums[:, 3])


def _plain_lanczos(
    pixels: Any,
    base: Any,
    stride: Any,
    places: Any,
    row_fractions: Any,
    col_fractions: Any,
    j: Any,
    out: Any,
    table: Any,
) -> None:
    four = slice(int(j), int(j) + 4)
    down, across = (_lanczos_weights(fractions[four], table) for fractions in (row_fractions, col_fractions))
    sums = _summed_down(_rows_of_taps(pixels, places[four], base, stride, 6, LANES, out.dtype), down) * across
    sums = sums[:, :4] + np.pad(sums[:, 4:6], ((0, 0), (0, 2)))
    out[four] = (sums[:, 0] + sums[:, 2]) + (sums[:, 1] + sums[:, 3])


def _summed_down(rows: list[Any], weights: Any) -> Any:
    total = rows[0] * weights[:, :1]
    for tap, row in enumerate(rows[1:], 1):
        total = _fused(row, weights[:, tap : tap + 1], total)
    return total


def _lanczos_weights(fractions: Any, table: Any) -> Any:
    """Return the weights of four pixels' taps: (4, LANES)."""
    places = fractions * table.dtype.type(table.shape[0])
    parts = places.astype(np.int64)
    rest = (places - parts.astype(table.dtype))[:, np.newaxis]
    weights = table[parts, -1]
    for power in range(table.shape[1] - 2, -1, -1):
        weights = _fused(weights, rest, table[parts, power])
    return weights


def _plain_prefetch(pixels: Any, index: Any) -> None:
    """Nothing."""


# -- as instructions ------------------------------------------------------------------------------------------------

_I32, _I64 = ir.IntType(32), ir.IntType(64)


class _Code:
    """Writes instructions: numbers of the table's type, in vectors."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder, self._context, self._signature = builder, context, signature
        self.arguments = arguments
        self.number = context.get_data_type(signature.args[7].dtype)
        self.pixel = signature.args[0].dtype
        self._align = self.number.get_abi_size(context.target_data)

    def data(self, index: int) -> Any:
        """Return where an array's numbers are."""
        array = self._context.make_array(self._signature.args[index])
        return array(self._context, self.builder, self.arguments[index]).data

    def vector(self, data: Any, place: Any, lanes: int) -> Any:
        """Load numbers that are side by side."""
        pointer = self.builder.bitcast(self.builder.gep(data, [place]), ir.VectorType(self.number, lanes).as_pointer())
        return self.builder.load(pointer, align=self._align)

    def store(self, value: Any, data: Any, place: Any) -> None:
        """Write them."""
        self.builder.store(
            value, self.builder.bitcast(self.builder.gep(data, [place]), value.type.as_pointer()), align=self._align
        )

    def pick(self, a: Any, lanes: Sequence[int], b: Any = None) -> Any:
        """Take lanes of one vector or of two."""
        other = ir.Constant(a.type, ir.Undefined) if b is None else b
        return self.builder.shuffle_vector(
            a, other, ir.Constant(ir.VectorType(_I32, len(lanes)), [int(lane) for lane in lanes])
        )

    def constant(self, values: Sequence[float]) -> Any:
        """Return a vector of these."""
        return ir.Constant(ir.VectorType(self.number, len(values)), [float(value) for value in values])

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c: of float32, rounded once."""
        if self.number != ir.FloatType():
            return self.builder.fadd(self.builder.fmul(a, b), c)
        kind = ir.FunctionType(a.type, [a.type] * 3)
        name = f"llvm.fma.v{a.type.count}f32"
        fused = self.builder.module.globals.get(name) or ir.Function(self.builder.module, kind, name)
        return self.builder.call(fused, [a, b, c])

    def rows(self, count: int) -> list[Any]:
        """Return from where each row's taps are counted: the same for all pixels, so no loop computes it.

        A place's upper bits are those of `PLACE_BASE`. They are taken off here, too: addresses are modulo 2**64.
        """
        build, stride = self.builder, self.arguments[2]
        starts = [build.sub(self.arguments[1], ir.Constant(_I64, BASE_BITS))]
        for _ in range(count - 1):
            starts.append(build.add(starts[-1], stride))
        pixels = self.data(0)
        return [build.gep(pixels, [start]) for start in starts]

    def places(self, count: int) -> list[Any]:
        """Load so many places, one by one: as a vector they would have to be taken apart."""
        build, places, j = self.builder, self.data(3), self.arguments[6]
        return [build.load(build.gep(places, [build.add(j, ir.Constant(_I64, lane))])) for lane in range(count)]

    def fractions(self, count: int) -> tuple[Any, Any]:
        """Load them, along rows and columns."""
        return self.vector(self.data(4), self.arguments[6], count), self.vector(self.data(5), self.arguments[6], count)

    def integer_pairs(self, row: Any, places: Sequence[Any]) -> tuple[Any, Any]:
        """Load two integers from each place, and return the left ones and the right ones as numbers."""
        build, bits = self.builder, self.pixel.bitwidth
        pair, lanes = ir.IntType(2 * bits), ir.VectorType(_I32, len(places))
        pairs = ir.Constant(ir.VectorType(pair, len(places)), ir.Undefined)
        for lane, place in enumerate(places):
            there = build.load(build.bitcast(build.gep(row, [place]), pair.as_pointer()), align=bits // 8)
            pairs = build.insert_element(pairs, there, ir.Constant(_I32, lane))
        pairs = pairs if pair == _I32 else build.zext(pairs, lanes)

        def cut(up: int) -> Any:
            """Move a number to the upper end, and back to the lower one, with its sign if it has one."""
            moved = build.shl(pairs, ir.Constant(lanes, [up] * len(places)))
            back = ir.Constant(lanes, [32 - bits] * len(places))
            return build.ashr(moved, back) if self.pixel.signed else build.lshr(moved, back)

        number = ir.VectorType(self.number, len(places))
        return build.sitofp(cut(32 - bits), number), build.sitofp(cut(32 - 2 * bits), number)

    def finish(self, value: Any) -> Any:
        """Write the results."""
        self.store(value, self.data(7), self.arguments[6])
        return self._context.get_dummy_value()


def _write_linear(code: _Code) -> Any:
    build = code.builder
    down, across = code.fractions(8)
    one = code.constant([1.0] * 8)
    places = code.places(8)

    def columns(row: Any) -> tuple[Any, Any]:
        if code.pixel in types.integer_domain:
            return code.integer_pairs(row, places)
        taps = [code.vector(row, place, 2) for place in places]
        pairs = [code.pick(taps[lane], range(4), taps[lane + 1]) for lane in (0, 2, 4, 6)]
        # Of the pixels 0, 1, 4, 5, and of the others: what is picked of both halves stays in its half.
        some, others = (code.pick(pairs[at], range(8), pairs[at + 2]) for at in (0, 1))
        lefts = [0, 2, 8, 10, 4, 6, 12, 14]
        return code.pick(some, lefts, others), code.pick(some, [left + 1 for left in lefts], others)

    top, bottom = (columns(row) for row in code.rows(2))
    up = build.fsub(one, down)
    left, right = (
        code.multiply_add(below, down, build.fmul(above, up)) for above, below in zip(top, bottom, strict=True)
    )
    return code.finish(code.multiply_add(right, across, build.fmul(left, build.fsub(one, across))))


def _write_cubic(code: _Code) -> Any:
    build = code.builder
    fractions, places, rows = code.fractions(8), code.places(8), code.rows(4)
    powers = [code.constant([KEYS[tap][power] for tap in range(4)] * 2) for power in range(4)]

    def weights(fractions: Any, lane: int) -> Any:
        f = code.pick(fractions, [lane] * 4 + [lane + 4] * 4)
        total = powers[3]
        for power in powers[2::-1]:
            total = code.multiply_add(total, f, power)
        return total

    sums = []
    for lane in range(4):  # and the pixel four further: so each half of a vector stays where it is
        down, across = (weights(each, lane) for each in fractions)
        total = None
        for tap, row in enumerate(rows):
            taps = code.pick(code.vector(row, places[lane], 4), range(8), code.vector(row, places[lane + 4], 4))
            weight = code.pick(down, [tap] * 4 + [4 + tap] * 4)
            total = build.fmul(taps, weight) if total is None else code.multiply_add(taps, weight, total)
        sums.append(build.fmul(total, across))
    a, b = (
        build.fadd(
            code.pick(one, [0, 1, 8, 9, 4, 5, 12, 13], other), code.pick(one, [2, 3, 10, 11, 6, 7, 14, 15], other)
        )
        for one, other in (sums[:2], sums[2:])
    )
    return code.finish(
        build.fadd(code.pick(a, [0, 2, 8, 10, 4, 6, 12, 14], b), code.pick(a, [1, 3, 9, 11, 5, 7, 13, 15], b))
    )


def _write_lanczos(code: _Code) -> Any:
    build = code.builder
    places, rows, table = code.places(4), code.rows(6), code.data(8)
    parts = _POWERS_AND_PARTS[code.number][1]
    powers = _POWERS_AND_PARTS[code.number][0]

    def weights(fractions: Any) -> list[Any]:
        place = build.fmul(fractions, code.constant([float(parts)] * 4))
        part = build.fptosi(place, ir.VectorType(_I32, 4))
        rest = build.fsub(place, build.sitofp(part, place.type))
        start = build.mul(part, ir.Constant(part.type, [powers * LANES] * 4))
        found = []
        for lane in range(4):
            first = build.zext(build.extract_element(start, ir.Constant(_I32, lane)), _I64)
            r = code.pick(rest, [lane] * LANES)
            at = [build.add(first, ir.Constant(_I64, LANES * power)) for power in range(powers)]
            total = code.vector(table, at[-1], LANES)
            for power in range(powers - 2, -1, -1):
                total = code.multiply_add(total, r, code.vector(table, at[power], LANES))
            found.append(total)
        return found

    down, across = (weights(fractions) for fractions in code.fractions(4))
    sums = []
    for lane in range(4):
        place, total = places[lane], None
        for tap, row in enumerate(rows):
            taps, weight = code.vector(row, place, LANES), code.pick(down[lane], [tap] * LANES)
            total = build.fmul(taps, weight) if total is None else code.multiply_add(taps, weight, total)
        total = build.fmul(total, across[lane])
        zeros = code.constant([0.0] * LANES)
        sums.append(build.fadd(code.pick(total, range(4)), code.pick(total, [4, 5, 8, 8], zeros)))
    a, b = (
        build.fadd(code.pick(one, [0, 4, 1, 5], other), code.pick(one, [2, 6, 3, 7], other))
        for one, other in (sums[:2], sums[2:])
    )
    return code.finish(build.fadd(code.pick(a, [0, 1, 4, 5], b), code.pick(a, [2, 3, 6, 7], b)))


#: Of the table of Lanczos' weights: so many powers, for so many parts of a pixel that they err by less than rounding.
LANCZOS_POWERS = {4: 3, 8: 5}
LANCZOS_PARTS = {4: 128, 8: 1024}
_POWERS_AND_PARTS = {
    ir.FloatType(): (LANCZOS_POWERS[4], LANCZOS_PARTS[4]),
    ir.DoubleType(): (LANCZOS_POWERS[8], LANCZOS_PARTS[8]),
}


def _compiled(write: Callable[[_Code], Any]) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def some(
        _: Any,
        pixels: Any,
        base: Any,
        stride: Any,
        places: Any,
        row_fractions: Any,
        col_fractions: Any,
        j: Any,
        out: Any,
    ) -> Any:
        u = types.uint64
        signature = types.none(pixels, u, u, places, row_fractions, col_fractions, u, out)
        return signature, lambda *given: write(_Code(*given))

    return some


def _compiled_with_table(write: Callable[[_Code], Any]) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def some(
        _: Any,
        pixels: Any,
        base: Any,
        stride: Any,
        places: Any,
        row_fractions: Any,
        col_fractions: Any,
        j: Any,
        out: Any,
        table: Any,
    ) -> Any:
        u = types.uint64
        signature = types.none(pixels, u, u, places, row_fractions, col_fractions, u, out, table)
        return signature, lambda *given: write(_Code(*given))

    return some


@intrinsic  # type: ignore[untyped-decorator]
def _compiled_prefetch(_: Any, pixels: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        name = "llvm.prefetch.p0"
        prefetch = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(prefetch, [pointer, *(ir.Constant(_I32, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.none(pixels, types.int64), generate


_JIT = not numba.config.DISABLE_JIT

#: ``eight_linear(pixels, base, stride, places, row_fractions, col_fractions, j, out)``: 2 x 2 taps.
eight_linear: Any = _compiled(_write_linear) if _JIT else _plain_linear
#: The same with Keys' kernel: 4 x 4 taps.
eight_cubic: Any = _compiled(_write_cubic) if _JIT else _plain_cubic
#: The same of four pixels, with one more argument, the table of Lanczos' weights (parts, powers, LANES): 6 x 6 taps.
four_lanczos: Any = _compiled_with_table(_write_lanczos) if _JIT else _plain_lanczos
#: ``prefetch(pixels, index)``: have a line of memory brought near, which need not be in the table. Changes nothing.
prefetch: Any = _compiled_prefetch if _JIT else _plain_prefetch
