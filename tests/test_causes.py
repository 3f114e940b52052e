"""Causes: what is said of them stands in `types.Cause` alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import gridr_numba
from gridr_numba.cli import main
from gridr_numba.engine.counts import Tally
from gridr_numba.types import Cause

PACKAGE = Path(gridr_numba.__file__).parent


def test_numbers_are_those_of_files_that_users_have():
    numbers = {"raster_mask": 1, "node": 2, "outside_valid": 4, "inside_invalid": 8, "outside_source": 16}
    numbers["source_invalid"] = 32
    assert {cause.key: int(cause) for cause in Cause} == numbers


def test_every_cause_is_a_bit_of_a_byte_with_words_and_a_colour_of_its_own():
    assert [int(cause) for cause in Cause] == [1 << bit for bit in range(len(Cause))]
    assert sum(Cause) < 256
    for attribute in ("key", "label", "help", "colour_name", "colour"):
        assert len({getattr(cause, attribute) for cause in Cause}) == len(Cause)
    assert Cause(3) == Cause.RASTER_MASK | Cause.NODE  # several are one value, as in a mask


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_else_lists_them(path):
    text = path.read_text()
    words = {*(cause.label for cause in Cause), *(f'"{cause.key}"' for cause in Cause)} - {"node"}
    named = [each for each in words if each in text]
    assert path.name == "types.py" or len(named) < 2, named


def test_counts_are_by_the_first():
    mask = np.arange(sum(Cause) + 1, dtype=np.uint8)[np.newaxis]
    counts = Tally(0)
    counts.add(np.empty((0, 0, 0)), mask)
    assert counts.valid == 1
    assert counts.invalid == {cause: (mask & (2 * cause - 1) == cause).sum() for cause in Cause}


def test_the_help_lists_them():
    text = " ".join(CliRunner().invoke(main, ["mask", "--help"], terminal_width=300).output.split())
    for cause in Cause:
        assert f"{cause:d} {cause.label}" in text
