"""Sums of a few numbers that lie side by side, as vector instructions: what numba does not make of a loop.

The only file with vectors. Each has a plain twin, which says what it computes, and runs where nothing is compiled: the
same products and sums in the same order, none of them fused, so the bits are the same on every processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _plain(lanes: int) -> Callable[..., None]:
    def sum_rows(values: Any, start: Any, stride: Any, weights: Any, out: Any, at: Any) -> None:
        for lane in range(lanes):
            place = int(start) + lane
            total = values[place] * weights[0]
            for row in range(1, len(weights)):
                total = total + values[place + row * int(stride)] * weights[row]
            out[int(at) + lane] = total

    return sum_rows


def _compiled(lanes: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def sum_rows(_: Any, values: Any, start: Any, stride: Any, weights: Any, out: Any, at: Any) -> Any:
        signature = types.none(values, types.uint64, types.uint64, weights, out, types.uint64)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            values, start, stride, weights, out, at = arguments
            number = context.get_data_type(signature.args[0].dtype)
            vector = ir.VectorType(number, lanes)
            align = number.get_abi_size(context.target_data)

            def place(array: Any, index: int, element: Any) -> Any:
                data = context.make_array(signature.args[index])(context, builder, array).data
                return builder.bitcast(builder.gep(data, [element]), vector.as_pointer())

            total = None
            for row in range(signature.args[3].count):
                weight = builder.extract_value(weights, row)
                first = builder.insert_element(
                    ir.Constant(vector, ir.Undefined), weight, ir.Constant(ir.IntType(32), 0)
                )
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
                spread = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)
                product = builder.fmul(builder.load(place(values, 0, start), align=align), spread)
                total = product if total is None else builder.fadd(total, product)
                start = builder.add(start, stride)
            builder.store(total, place(out, 4, at), align=align)
            return context.get_dummy_value()

        return signature, generate

    return sum_rows


_make = _plain if numba.config.DISABLE_JIT else _compiled

#: ``sum_rows_4(values, start, stride, weights, out, at)``: of 4 numbers side by side in each of several rows, from
#: `start` on and `stride` apart, each row times its weight, the sum, first to last; to 4 numbers of `out` from `at` on.
sum_rows_2: Any = _make(2)
sum_rows_4: Any = _make(4)
sum_rows_8: Any = _make(8)
