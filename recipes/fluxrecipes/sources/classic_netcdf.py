"""A look at classic NetCDF files before the NetCDF library opens them.

The library believes a damaged header: a wrong count keeps it busy for minutes, and what a file cut
short lacks it reads as zeros. The header is therefore walked through first, as the specification of
the classic format (CDF-1, CDF-2, CDF-5) has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fluxengine.errors import DamagedFile
from fluxrecipes.sources.gzipped import FETCH_AGAIN

CLASSIC = b"CDF"
# By version: bytes of counts and lengths, and of the places where variables begin.
WORDS = {1: (4, 4), 2: (4, 8), 5: (8, 8)}
LONGEST_HEADER = 2**20  # bytes
DIMENSIONS, VARIABLES, ATTRIBUTES, NOTHING = 10, 11, 12, 0
WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}  # by type


class _BadHeader(ValueError):
    """What is wrong with it."""


def check_classic(path: Path, named: Path) -> None:
    """Refuse a classic file whose header is damaged or promises more than there is.

    Files of another form are left to the library. Reads the header alone.

    Parameters
    ----------
    path : Path
    named : Path
        What to call it: the packed file that it was unpacked from.

    Raises
    ------
    DamagedFile
    """
    with path.open("rb") as file:
        header = file.read(LONGEST_HEADER)
    if not header.startswith(CLASSIC):
        return
    try:
        _walk(_Walker(header, len(CLASSIC)), path.stat().st_size)
    except _BadHeader as error:
        what = f"its NetCDF header is damaged, or it was cut short: {error}."
        raise DamagedFile(what, where=str(named), mend=FETCH_AGAIN) from None


@dataclass
class _Walker:
    """A place in the header, and steps onward from it."""

    header: bytes
    at: int
    word: int = 4  # bytes of a count

    def take(self, length: int) -> bytes:
        """The next bytes."""
        end = self.at + length
        if end > len(self.header):
            raise _BadHeader(f"it ends within its header, at byte {len(self.header):,}")
        self.at, taken = end, self.header[self.at : end]
        return taken

    def number(self, width: int = 0) -> int:
        """The next number, a count where no width is said."""
        return int.from_bytes(self.take(width or self.word), "big")

    def padded(self, length: int) -> None:
        """Over bytes that fill whole words."""
        self.take(-(-length // 4) * 4)

    def items(self, kind: int) -> Iterator[int]:
        """The numbers of the items of a list; each is to be walked over before the next."""
        tag, count = self.number(4), self.number()
        if tag != kind and (tag, count) != (NOTHING, 0):
            raise _BadHeader(f"a list of kind {tag} stands where one of kind {kind} should")
        yield from range(count)

    def attributes(self) -> None:
        """Over a list of attributes."""
        for _ in self.items(ATTRIBUTES):
            self.padded(self.number())  # its name
            width = _width(self.number(4))
            self.padded(width * self.number())


def _width(kind: int) -> int:
    if kind not in WIDTHS:
        raise _BadHeader(f"there is no type {kind}")
    return WIDTHS[kind]


@dataclass(frozen=True)
class _Placed:
    """Where a variable's values lie, of a record variable those of its first record."""

    begin: int
    length: int
    is_record: bool

    @property
    def padded(self) -> int:
        """Its length in whole words."""
        return -(-self.length // 4) * 4

    def end(self, records: int, stride: int) -> int:
        """Behind its last value; nowhere where it has none."""
        times = records if self.is_record else 1
        return self.begin + self.length + stride * (times - 1) if times else 0


def _walk(header: _Walker, size: int) -> None:
    """Through the whole header; every variable must lie within `size` bytes."""
    version = header.number(1)
    if version not in WORDS:
        raise _BadHeader(f"there is no version {version} of it")
    header.word, place = WORDS[version]
    records, lengths = header.number(), []
    for _ in header.items(DIMENSIONS):
        header.padded(header.number())  # its name
        lengths.append(header.number())
    header.attributes()
    variables = [_variable(header, lengths, place) for _ in header.items(VARIABLES)]
    recorded = [one for one in variables if one.is_record]
    # A record holds all of them; where there is but one, it is not padded to whole words.
    stride = recorded[0].length if len(recorded) == 1 else sum(one.padded for one in recorded)
    is_known = records != 2 ** (8 * header.word) - 1  # else its writer did not know how many
    end = max((one.end(records * is_known, stride) for one in variables), default=0)
    if end > size:
        raise _BadHeader(f"its variables end at byte {end:,}, the file at {size:,}")


def _variable(header: _Walker, lengths: list[int], place: int) -> _Placed:
    """Over a variable; `place` is the width of the number that says where it begins."""
    header.padded(header.number())  # its name
    shape = []
    for _ in range(header.number()):
        dimension = header.number()
        if dimension >= len(lengths):
            raise _BadHeader(f"there is no dimension {dimension}")
        shape.append(lengths[dimension])
    header.attributes()
    width = _width(header.number(4))
    header.number()  # its size, which follows from its shape
    is_record = shape[:1] == [0]  # the dimension of records has no length of its own
    return _Placed(header.number(place), width * math.prod(shape[is_record:]), is_record)
