"""What the fault run compares: worlds, and how much of them differs from a clean run's."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from toyworld import World

from fluxengine.ledger import Ledger
from fluxengine.repository import MAIN
from fluxengine.store import MARKER, Store
from fluxengine.verify import verify

DAYS = 8  # two blocks of the source, twelve in all


@dataclass
class Tally:
    """What a scenario came to: one row of the table.

    `blocks` were compared with a clean run's; `lost` are not there or not good, `differing` have
    other digests.
    """

    scenario: str
    seeds: int = 0
    blocks: int = 0
    lost: int = 0
    differing: int = 0
    seconds: float = 0.0
    remark: str = ""

    def compare(self, store: Path, clean: Path) -> None:
        """Count each block of a store beside the same block of a clean run."""
        self.seeds += 1
        found, expected = Store.at(store), Store.at(clean)
        assert found.names == expected.names
        for name in expected.names:
            self._compare(found, expected, name)

    def _compare(self, found: Store, expected: Store, name: str) -> None:
        ours, theirs = (_ledger(store, name) for store in (found, expected))
        assert ours.states.shape == theirs.states.shape
        for number in range(theirs.grid.step_blocks * theirs.grid.tiles):
            rows = theirs.rows_of(number)
            self.blocks += 1
            if (ours.states[rows] != theirs.states[rows]).any():
                self.lost += 1
            elif (ours.digests[rows] != theirs.digests[rows]).any():
                self.differing += 1

    def check(self) -> None:
        """Nothing was lost, and nothing is other than a clean run makes it."""
        assert (self.lost, self.differing) == (0, 0), self
        assert self.blocks > 0


def _ledger(store: Store, name: str) -> Ledger:
    """Of the published version: what a reader relies on."""
    repository = store.repository(name)
    return repository.ledger(repository.tip(MAIN))


def published(store: Path) -> dict[str, str]:
    """A digest of what each dataset publishes, once all of it was read and is as it was written."""
    if not (store / MARKER).exists():
        return {}
    found, place = {}, Store.at(store)
    for name in place.names:
        if place.repository(name).is_published:
            assert verify(place, name).findings == ()
            found[name] = hashlib.sha256(_ledger(place, name).digests.tobytes()).hexdigest()
    return found


@dataclass(frozen=True)
class Worlds:
    """Worlds after a clean run over files of seed 0 and of seed 1; not to be changed."""

    clean: tuple[World, World]

    def fresh(self, folder: Path) -> World:
        """Files of seed 1, and no store yet."""
        folder.mkdir(exist_ok=True)
        made = World(folder)
        made.write(*range(1, DAYS + 1), seed=1)
        return made

    def published(self, folder: Path) -> World:
        """A published version of seed 0."""
        return self.copy(self.clean[0], folder)

    def copy(self, world: World, folder: Path) -> World:
        """Archives and stores may be moved."""
        shutil.copytree(world.folder, folder, dirs_exist_ok=True)
        return World(folder)

    def revised(self, folder: Path) -> World:
        """A published version of seed 0; every file was revised since, to seed 1."""
        made = self.published(folder)
        made.write(*range(1, DAYS + 1), seed=1)
        return made
