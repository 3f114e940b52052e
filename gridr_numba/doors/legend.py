"""Words around a picture: a title, a bar of colours, and a legend, in letters of 5 x 8 pixels."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..types import Colour

Floats = NDArray[np.float64]

_PAPER: Colour = (250, 250, 247)
_INK: Colour = (28, 28, 36)

# Banks of letters: a line that names them, and eight of what they look like, the last below the line that letters
# stand on.
_BANKS = r"""
A     B     C     D     E     F     G     H     I     J     K     L     M
.###. ####. .###. ####. ##### ##### .###. #...# .###. ..### #...# #.... #...#
#...# #...# #...# #...# #.... #.... #...# #...# ..#.. ...#. #..#. #.... ##.##
#...# #...# #.... #...# #.... #.... #.... #...# ..#.. ...#. #.#.. #.... #.#.#
##### ####. #.... #...# ####. ####. #.### ##### ..#.. ...#. ##... #.... #.#.#
#...# #...# #.... #...# #.... #.... #...# #...# ..#.. ...#. #.#.. #.... #...#
#...# #...# #...# #...# #.... #.... #...# #...# ..#.. #..#. #..#. #.... #...#
#...# ####. .###. ####. ##### #.... .###. #...# .###. .##.. #...# ##### #...#
..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... .....
N     O     P     Q     R     S     T     U     V     W     X     Y     Z
#...# .###. ####. .###. ####. .#### ##### #...# #...# #...# #...# #...# #####
##..# #...# #...# #...# #...# #.... ..#.. #...# #...# #...# #...# #...# ....#
#.#.# #...# #...# #...# #...# #.... ..#.. #...# #...# #...# .#.#. .#.#. ...#.
#.#.# #...# ####. #...# ####. .###. ..#.. #...# #...# #.#.# ..#.. ..#.. ..#..
#..## #...# #.... #.#.# #.#.. ....# ..#.. #...# #...# #.#.# .#.#. ..#.. .#...
#...# #...# #.... #..#. #..#. ....# ..#.. #...# .#.#. ##.## #...# ..#.. #....
#...# .###. #.... .##.# #...# ####. ..#.. .###. ..#.. #...# #...# ..#.. #####
..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... .....
a     b     c     d     e     f     g     h     i     j     k     l     m
..... #.... ..... ....# ..... ..##. ..... #.... ..#.. ...#. #.... .##.. .....
..... #.... ..... ....# ..... .#... ..... #.... ..... ..... #.... ..#.. .....
.###. ####. .###. .#### .###. .#... .#### ####. .##.. ..##. #..#. ..#.. ##.#.
....# #...# #.... #...# #...# ####. #...# #...# ..#.. ...#. #.#.. ..#.. #.#.#
.#### #...# #.... #...# ##### .#... #...# #...# ..#.. ...#. ##... ..#.. #.#.#
#...# #...# #...# #...# #.... .#... .#### #...# ..#.. ...#. #.#.. ..#.. #.#.#
.#### ####. .###. .#### .###. .#... ....# #...# .###. #..#. #..#. .###. #.#.#
..... ..... ..... ..... ..... ..... .###. ..... ..... .##.. ..... ..... .....
n     o     p     q     r     s     t     u     v     w     x     y     z
..... ..... ..... ..... ..... ..... .#... ..... ..... ..... ..... ..... .....
..... ..... ..... ..... ..... ..... .#... ..... ..... ..... ..... ..... .....
####. .###. ####. .#### #.##. .#### ####. #...# #...# #...# #...# #...# #####
#...# #...# #...# #...# ##..# #.... .#... #...# #...# #.#.# .#.#. #...# ...#.
#...# #...# #...# #...# #.... .###. .#... #...# #...# #.#.# ..#.. #...# ..#..
#...# #...# ####. .#### #.... ....# .#..# #..## .#.#. #.#.# .#.#. .#### .#...
#...# .###. #.... ....# #.... ####. ..##. .##.# ..#.. .#.#. #...# ....# #####
..... ..... #.... ....# ..... ..... ..... ..... ..... ..... ..... .###. .....
0     1     2     3     4     5     6     7     8     9     .     ,     :
.###. ..#.. .###. .###. ...#. ##### ..##. ##### .###. .###. ..... ..... .....
#...# .##.. #...# #...# ..##. #.... .#... ....# #...# #...# ..... ..... .##..
#..## ..#.. ....# ....# .#.#. ####. #.... ...#. #...# #...# ..... ..... .##..
#.#.# ..#.. ...#. ..##. #..#. ....# ####. ..#.. .###. .#### ..... ..... .....
##..# ..#.. ..#.. ....# ##### ....# #...# ..#.. #...# ....# ..... ..... .##..
#...# ..#.. .#... #...# ...#. #...# #...# ..#.. #...# ...#. .##.. .##.. .##..
.###. .###. ##### .###. ...#. .###. .###. ..#.. .###. .##.. .##.. .##.. .....
..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... .#... .....
;     !     ?     '     "     (     )     [     ]     {     }     <     >
..... ..#.. .###. ..#.. .#.#. ...#. .#... .###. .###. ...## ##... ...#. .#...
.##.. ..#.. #...# ..#.. .#.#. ..#.. ..#.. .#... ...#. ..#.. ..#.. ..#.. ..#..
.##.. ..#.. ....# ..... ..... .#... ...#. .#... ...#. ..#.. ..#.. .#... ...#.
..... ..#.. ...#. ..... ..... .#... ...#. .#... ...#. .#... ...#. #.... ....#
.##.. ..#.. ..#.. ..... ..... .#... ...#. .#... ...#. ..#.. ..#.. .#... ...#.
.##.. ..... ..... ..... ..... ..#.. ..#.. .#... ...#. ..#.. ..#.. ..#.. ..#..
.#... ..#.. ..#.. ..... ..... ...#. .#... .###. .###. ...## ##... ...#. .#...
..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... .....
+     -     *     /     \     =     _     %     #     @     &     $     ^
..... ..... ..... ....# #.... ..... ..... ##..# .#.#. .###. .##.. ..#.. ..#..
..#.. ..... #.#.# ....# #.... ..... ..... ##..# .#.#. #...# #..#. .#### .#.#.
..#.. ..... .###. ...#. .#... ##### ..... ...#. ##### #.### #.#.. #.#.. #...#
##### ##### ##### ..#.. ..#.. ..... ..... ..#.. .#.#. #.#.# .#... .###. .....
..#.. ..... .###. .#... ...#. ##### ..... .#... ##### #.### #.#.# ..#.# .....
..#.. ..... #.#.# #.... ....# ..... ..... #..## .#.#. #.... #..#. ####. .....
..... ..... ..... #.... ....# ..... ##### #..## .#.#. .###. .##.# ..#.. .....
..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... ..... .....
|     ~     `
..#.. ..... .#...
..#.. ..... ..#..
..#.. .#... .....
..#.. #.#.# .....
..#.. ...#. .....
..#.. ..... .....
..#.. ..... .....
..... ..... .....
"""
_ROWS, _COLS = 8, 5
# From one letter to the next, and from one line to the next.
_ADVANCE, _LINE_HEIGHT = _COLS + 1, _ROWS + 4
_NO_BREAK = "\xa0"
# The least width of a picture with words around it, in letters.
_LETTERS_AT_LEAST = 58
# A picture whose longer side has so many pixels gets letters twice as large.
_LARGE = 500


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a colour, what it is called, and what it means. Without a colour, a remark."""

    colour: Colour | None
    name: str
    meaning: str

    def __str__(self) -> str:
        """As a sentence, for those who read it without the picture."""
        end = "" if self.meaning.endswith("?") else "."
        return f"{self.name}: {self.meaning}{end}" if self.name else f"{self.meaning}{end}"


@dataclass(frozen=True)
class Bar:
    """A scale of colours, of shape (colours, 3), for source pixels from 0 to the largest number."""

    colours: Floats
    largest: float
    what: str
    step: float

    def __str__(self) -> str:
        """As a sentence, for those who read it without the picture."""
        return (
            f"Blue to yellow: 0 to {self.largest:.3g} source pixels {self.what}, a step of colour each {self.step:g}."
        )


def framed(picture: Floats, title: str, bar: Bar | None, keys: Sequence[Key], edge: Colour | None = None) -> Floats:
    """Return a picture with its title above, and below it a bar of colours and a legend.

    Parameters
    ----------
    picture : ndarray (rows, columns, 3)
    title : str
    bar : Bar, optional
    keys : sequence of Key
    edge : tuple of int, optional
        The colour of a line around the picture.
    """
    scale = 2 if max(picture.shape[:2]) >= _LARGE else 1
    gap = 6 * scale
    width = max(picture.shape[1], _LETTERS_AT_LEAST * _ADVANCE * scale)
    parts = [_words([title], width, scale, _INK), _outlined(picture, edge, 2 * scale)]
    if bar is not None:
        parts.append(_scale_bar(bar, width, scale))
    parts += [_entry(key, width, scale) for key in keys]
    return _outlined(_stacked(parts, width + 4 * scale, gap), None, gap)


def _outlined(picture: Floats, edge: Colour | None, thickness: int) -> Floats:
    """Return a picture with a line around it; without a colour, of paper."""
    sides = (thickness, thickness)
    around = np.pad(picture, (sides, sides, (0, 0)))
    around[:] = _PAPER if edge is None else edge
    around[thickness:-thickness, thickness:-thickness] = picture
    return around


def _words(texts: Iterable[str], width: int, scale: int, colour: Colour) -> Floats:
    """Return lines of words on paper, broken so that they fit."""
    letters = width // (_ADVANCE * scale)
    lines = [line for text in texts for line in textwrap.wrap(text, letters) or [""]]
    painted = np.zeros((len(lines) * _LINE_HEIGHT, -(-width // scale)), bool)
    for number, line in enumerate(lines):
        for place, letter in enumerate(line):
            row, col = number * _LINE_HEIGHT, place * _ADVANCE
            painted[row : row + _ROWS, col : col + _COLS] = _LETTERS.get(letter, _LETTERS["?"])
    painted = painted[: _ROWS - _LINE_HEIGHT]
    picture = np.empty((*painted.shape, 3))
    picture[:] = _PAPER
    picture[painted] = colour
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)[:, :width]


def _entry(key: Key, width: int, scale: int) -> Floats:
    """Return a patch of a key's colour, and what it means beside it."""
    if key.colour is None:
        return _words([str(key)], width, scale, _INK)
    patch = 2 * _ROWS * scale
    words = _words([str(key)], width - patch - 4 * scale, scale, _INK)
    entry = np.empty((words.shape[0], patch + 4 * scale + words.shape[1], 3))
    entry[:] = _PAPER
    entry[: _ROWS * scale, :patch] = _INK
    entry[scale : (_ROWS - 1) * scale, scale : patch - scale] = key.colour
    entry[:, patch + 4 * scale :] = words
    return entry


def _scale_bar(bar: Bar, width: int, scale: int) -> Floats:
    """Return the colours side by side, below them the numbers at both ends and in the middle, and of what."""
    cols = np.arange(width) * len(bar.colours) // width
    strip = np.broadcast_to(bar.colours[cols], (10 * scale, width, 3))
    letters = width // (_ADVANCE * scale)
    middle, high = (f"{bar.largest / 2:.3g}", f"{bar.largest:.3g}") if bar.largest else ("", "")
    line = f"0{middle:^{letters - 1}}"[: letters - len(high)] + high
    what = f"Source pixels {bar.what}, a step of colour each {bar.step:g}."
    words = _words([line.replace(" ", _NO_BREAK), what], width, scale, _INK)
    return _stacked([strip, words], width, 3 * scale)


def _stacked(parts: Sequence[Floats], width: int, gap: int) -> Floats:
    """Return parts below one another on paper, so far apart."""
    stack = np.empty((sum(len(part) + gap for part in parts) - gap, width, 3))
    stack[:] = _PAPER
    row = 0
    for part in parts:
        stack[row : row + len(part), : part.shape[1]] = part
        row += len(part) + gap
    return stack


def _letters() -> dict[str, NDArray[np.bool_]]:
    lines = _BANKS.strip("\n").splitlines()
    letters = {" ": np.zeros((_ROWS, _COLS), bool), _NO_BREAK: np.zeros((_ROWS, _COLS), bool)}
    for start in range(0, len(lines), _ROWS + 1):
        for number, letter in enumerate(lines[start].split()):
            rows = [line.split()[number] for line in lines[start + 1 : start + 1 + _ROWS]]
            letters[letter] = np.array([[pixel == "#" for pixel in row] for row in rows])
    return letters


_LETTERS = _letters()
