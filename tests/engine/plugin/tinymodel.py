"""What the datasets of `toytiny` should hold and when each block should run, in plain Python.

Nothing here is shared with the engine: content is compared as it is, not by digests, and windows
are written out by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field

NAMES = NUMBERS, NEAR, DAY = "tiny-numbers", "tiny-near", "tiny-day"
BLOCK = {NUMBERS: 2, NEAR: 3, DAY: 2}  # days
TILES = {NUMBERS: 1, NEAR: 3, DAY: 1}
CELLS = 6
LARGEST = 32767

NEVER = "never written", ()
Row = tuple[str, tuple[int | None, ...]]  # what the ledger calls a step and tile; its numbers
Block = tuple[range, int]  # steps and tile


def numbers_in(file: bytes | None) -> tuple[int | None, ...] | None:
    """What a file holds; None where it is absent or damaged."""
    try:
        return None if file is None else tuple(json.loads(file))
    except ValueError:
        return None


@dataclass
class Held:
    """What one dataset holds, and what its blocks were made from."""

    length: int = 0
    rows: dict[tuple[int, int], Row] = field(default_factory=dict)  # by step and tile
    made: dict[tuple[int, int], tuple[object, dict[str, object]]] = field(default_factory=dict)
    seen: dict[int, bytes] = field(default_factory=dict)  # the last file of each step
    sound: dict[int, bytes] = field(default_factory=dict)  # the last good file of each step

    def content(self, step: int, tile: int = 0) -> object:
        """What is stored: a file that is missing and one that is damaged leave the same cells."""
        word, numbers = self.rows.get((step, tile), NEVER)
        if word in ("valid", "kept"):
            return numbers
        return word if word == "never written" else "no values"


@dataclass
class Model:
    """An archive, options, and three datasets with their versions."""

    last: int = 4
    files: dict[int, bytes] = field(default_factory=dict)
    before: int = 1
    gain: int = 1
    factor: int = 1
    code: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    held: dict[str, Held] = field(default_factory=lambda: {name: Held() for name in NAMES})
    versions: dict[str, dict[int, Held]] = field(default_factory=lambda: {n: {} for n in NAMES})
    unpublished: set[str] = field(default_factory=set)

    # --- what should run ---

    def blocks(self, name: str) -> Iterator[Block]:
        for start in range(0, self.last, BLOCK[name]):
            for tile in range(TILES[name]):
                yield range(start, min(start + BLOCK[name], self.last)), tile

    def standing(self, name: str) -> dict[str, object]:
        """Code, options and weights."""
        options = {NUMBERS: (), NEAR: self.before, DAY: self.gain}[name]
        return {
            "code": self.code[name],
            "options": options,
            "weights": self.factor if name == DAY else None,
        }

    def inputs(self, name: str, steps: range) -> object:
        """All that a block's values depend on beside what stands."""
        if name == NUMBERS:
            return [self.files.get(t, self.held[name].seen.get(t)) for t in steps]
        if name == DAY:
            return [self.held[NEAR].content(t, tile) for t in steps for tile in range(3)]
        window = range(max(0, steps[0] - self.before), min(self.last, steps[-1] + 2))
        return [(t, self.held[NUMBERS].content(t)) for t in window]

    def reasons(self, name: str, block: Block) -> set[str]:
        """Why a block runs."""
        held, (steps, tile) = self.held[name], block
        rows = [held.rows.get((t, tile)) for t in steps]
        if not any(rows):
            return {"never written"}
        inputs, standing = held.made[steps[0], tile]
        found = {what for what, now in self.standing(name).items() if standing[what] != now}
        if not all(rows):
            found.add("extended")
        if inputs != self.inputs(name, steps):
            found.add("inputs")
        if name != NUMBERS and any(row and row[0] == "failed" for row in rows):
            found.add("quarantined")
        return found

    def will_run(self, name: str) -> list[Block]:
        return [block for block in self.blocks(name) if self.reasons(name, block)]

    # --- what comes out ---

    def row(self, name: str, step: int, tile: int) -> Row:
        """What a step and tile should be, from what lies upstream now."""
        if name == NUMBERS:
            return self._ingested(step)
        make = self._near if name == NEAR else self._total
        cells = range(2 * tile, 2 * tile + 2) if name == NEAR else range(1)
        return "valid", tuple(make(step, cell) for cell in cells)

    def _ingested(self, step: int) -> Row:
        found = numbers_in(self.files.get(step))
        if found is not None:
            return "valid", found
        word, numbers = self.held[NUMBERS].rows.get((step, 0), NEVER)
        if word in ("valid", "kept"):
            return "kept", numbers
        return "failed" if step in self.files else "no file", ()

    def _near(self, step: int, cell: int) -> int | None:
        window = range(max(0, step - self.before), min(self.last, step + 2))
        days = [self.held[NUMBERS].content(t) for t in window]
        days = [numbers for numbers in days if isinstance(numbers, tuple)]
        around = [numbers[(cell + by) % CELLS] for numbers in days for by in (-1, 0, 1)]
        there = [number // 2 for number in around if number is not None]
        return sum(there) if there else None

    def _total(self, step: int, cell: int) -> int | None:
        tiles = [self.held[NEAR].content(step, tile) for tile in range(3)]
        there = [n for tile in tiles if isinstance(tile, tuple) for n in tile if n is not None]
        return sum(there) * self.gain * self.factor if there else None

    def make(self, name: str, block: Block) -> None:
        """Make a block; one that holds a number too large for the store fails as a whole."""
        held, (steps, tile) = self.held[name], block
        before = {t: held.rows.get((t, tile)) for t in steps}, held.made.get((steps[0], tile))
        rows = {t: self.row(name, t, tile) for t in steps}
        if any(n is not None and n > LARGEST for _, numbers in rows.values() for n in numbers):
            rows = dict.fromkeys(steps, ("failed", ()))
        for t in steps:
            held.rows[t, tile] = rows[t]
            if name == NUMBERS and t in self.files:
                held.seen[t] = self.files[t]
                if rows[t][0] == "valid":
                    held.sound[t] = self.files[t]
        held.made[steps[0], tile] = self.inputs(name, steps), self.standing(name)
        if before != (rows, held.made[steps[0], tile]):
            self.unpublished.add(name)

    # --- what people do ---

    def run(self, blocks: int | None = None, *, accept_code: bool = False) -> set[str] | None:
        """Bring all up to date. Returns what is published; None where it stops before.

        Parameters
        ----------
        blocks : int, optional
            After so many blocks the run is cut off.
        accept_code : bool
        """
        for name in NAMES:
            held = self.held[name]
            if held.length < self.last:
                held.length = self.last
                self.unpublished.add(name)
            todo = self.will_run(name)
            if accept_code:
                alike = [b for b in todo if self.reasons(name, b) == {"code"}]
                todo = [b for b in todo if b not in alike]
                for steps, tile in alike:
                    held.made[steps[0], tile] = held.made[steps[0], tile][0], self.standing(name)
                    self.unpublished.add(name)
            for block in todo:
                if blocks == 0:
                    return None
                blocks = None if blocks is None else blocks - 1
                self.make(name, block)
            if not any(word in ("valid", "kept") for word, _ in held.rows.values()):
                return None
        return self._publish()

    def _publish(self) -> set[str]:
        published, self.unpublished = self.unpublished, set()
        for name in published:
            self.versions[name][self.newest(name) + 1] = deepcopy(self.held[name])
        return published

    def newest(self, name: str) -> int:
        return max(self.versions[name], default=0)

    def restore(self, name: str, version: int) -> None:
        self.held[name] = deepcopy(self.versions[name][version])
        self.versions[name][self.newest(name) + 1] = deepcopy(self.held[name])
        self.unpublished.discard(name)

    def prune(self, name: str, keep: int) -> None:
        kept = sorted(self.versions[name])[-keep:]
        self.versions[name] = {version: self.versions[name][version] for version in kept}

    def from_scratch(self) -> Model:
        """What one run over the sound files in a new store would give."""
        sound = dict(self.held[NUMBERS].sound)
        clean = Model(self.last, sound, self.before, self.gain, self.factor, dict(self.code))
        clean.run()
        return clean

    def contents(self) -> dict[tuple[str, int, int], object]:
        """All that is stored, as values."""
        return {
            (name, step, tile): held.content(step, tile)
            for name, held in self.held.items()
            for step, tile in held.rows
        }
