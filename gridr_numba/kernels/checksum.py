"""Words of an array -> a checksum, at the speed of memory: what was written is compared with what is read back.

Word ``i`` of a stream goes into lane ``i % LANES``, a uint64: ``lane = mixed((lane ^ word) * FACTOR)``, where `mixed`
adds the upper half to the lower one (``x ^ x >> 32``). Each step is a bijection of the lane, so one wrong word
is always seen, and any other error with a probability of all but 2**-64. Lanes do not wait for one another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import helper, kernel

#: How many words of a stream are worked on side by side.
LANES = 8
#: Odd, and otherwise without a pattern: 2**64 over the golden ratio.
FACTOR = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


@kernel
def fold(words: NDArray[np.unsignedinteger], first: int, lanes: NDArray[np.uint64]) -> None:
    """Add words to the checksum of a stream. How a stream is cut does not matter.

    Parameters
    ----------
    words : unsigned integers (n,)
    first : int
        The place of the first of them in the stream.
    lanes : uint64 (LANES,)
        Changed in place; zeros before the first word.
    """
    n = len(words)
    start = min(n, (LANES - first % LANES) % LANES)
    fold_some(words[:start], first, lanes)
    whole = start + (n - start) // LANES * LANES
    a, b, c, d, e, f, g, h = lanes
    for i in range(start, whole, LANES):
        part = words[i : i + LANES]
        a = step(a, part[0])
        b = step(b, part[1])
        c = step(c, part[2])
        d = step(d, part[3])
        e = step(e, part[4])
        f = step(f, part[5])
        g = step(g, part[6])
        h = step(h, part[7])
    lanes[:] = np.array([a, b, c, d, e, f, g, h])
    fold_some(words[whole:], first + whole, lanes)


@helper
def fold_some(words: NDArray[np.unsignedinteger], first: int, lanes: NDArray[np.uint64]) -> None:
    """Add words one by one."""
    for i in range(len(words)):
        lane = (first + i) % LANES
        lanes[lane] = step(lanes[lane], words[i])


@helper
def step(lane: np.uint64, word: np.unsignedinteger) -> np.uint64:
    """Add a word to a lane."""
    value = (lane ^ np.uint64(word)) * FACTOR
    return value ^ (value >> _HALF)
