"""What is stored is damaged behind the engine's back: `verify` finds it, or all reads as before."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import icechunk
import numpy as np
import pytest
import zarr
from toyworld import World
from trials import Tally, Worlds

from fluxengine.repository import MAIN
from fluxengine.store import Store
from fluxengine.verify import verify

pytestmark = pytest.mark.faults

SEEDS = range(20)
NAMES = ("toy-passes", "toy-coarse", "toy-smooth", "toy")


def everything(store: Path, name: str) -> dict[str, object]:
    """All that can be read of a dataset: values as stored, ledger, attributes."""
    repository = Store.at(store).repository(name)
    root = repository.read(repository.tip(MAIN))
    found: dict[str, object] = {"": dict(root.attrs)}
    for path, member in root.members(max_depth=None):
        found[path] = dict(member.attrs)
        if isinstance(member, zarr.Array):
            values = np.asarray(member[...])
            found[f"{path}/values"] = values.tolist() if values.dtype == "O" else values.tobytes()
            if values.dtype.kind == "T":
                found[f"{path}/values"] = values.tolist()
    return found


def flip(file: Path, dice: Random) -> None:
    content = bytearray(file.read_bytes())
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    file.write_bytes(content)


def some_file(store: Path, name: str, folder: str, dice: Random) -> Path:
    files = sorted(p for p in (store / name / folder).rglob("*") if p.is_file())
    return dice.choice(files)


def a_chunk_deleted(store: Path, name: str, dice: Random) -> None:
    some_file(store, name, "chunks", dice).unlink()


def a_chunk_flipped(store: Path, name: str, dice: Random) -> None:
    flip(some_file(store, name, "chunks", dice), dice)


def a_manifest_flipped(store: Path, name: str, dice: Random) -> None:
    flip(some_file(store, name, "manifests", dice), dice)


def any_file_flipped(store: Path, name: str, dice: Random) -> None:
    """Snapshots, branches, tags, transactions, settings."""
    flip(some_file(store, name, "", dice), dice)


def a_ledger_row_altered(store: Path, name: str, dice: Random) -> None:
    """In a sound commit: no checksum of the storage can tell."""
    storage = icechunk.local_filesystem_storage(str(store / name))
    session = icechunk.Repository.open(storage).writable_session(MAIN)
    root = zarr.open_group(session.store, mode="r+")
    column = dice.choice(sorted(root["_ledger"].array_keys()))
    array = root[f"_ledger/{column}"]
    if column == "records":
        number = dice.randrange(array.shape[0])
        array[number : number + 1] = np.array([_altered(str(array[number]), dice)], "T")
    else:
        at = tuple(dice.randrange(length) for length in array.shape)
        array[at] ^= 1 << dice.randrange(8)
    session.commit("behind the engine's back")


def _altered(text: str, dice: Random) -> str:
    """Another digit in a record."""
    places = [place for place, letter in enumerate(text) if letter.isdigit()]
    place = dice.choice(places)
    return text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]


Damage = Callable[[Path, str, Random], None]
DAMAGES: tuple[Damage, ...] = (
    a_chunk_deleted,
    a_chunk_flipped,
    a_manifest_flipped,
    a_ledger_row_altered,
    any_file_flipped,
)


@pytest.fixture(scope="module")
def untouched(
    worlds: Worlds, tmp_path_factory: pytest.TempPathFactory
) -> tuple[World, dict[str, dict[str, object]]]:
    """A published store, and all that can be read of it."""
    world = worlds.copy(worlds.clean[0], tmp_path_factory.mktemp("damage"))
    return world, {name: everything(world.store, name) for name in NAMES}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_or_does_no_harm(
    damage: Damage,
    untouched: tuple[World, dict[str, dict[str, object]]],
    folders: Iterator[Path],
    tally: Callable[[str], Tally],
) -> None:
    row = tally(f"stored: {damage.__name__.replace('_', ' ')}")
    world, before = untouched
    found, missed = 0, []
    for seed in SEEDS:
        dice, name = Random(seed), NAMES[seed % len(NAMES)]
        store = next(folders) / "store"
        shutil.copytree(world.store, store)
        damage(store, name, dice)
        told = verify(Store.at(store), name)
        row.seeds, row.blocks = row.seeds + 1, row.blocks + told.blocks
        if told.findings:
            found += 1
        elif everything(store, name) != before[name]:
            missed.append(seed)
    row.differing = len(missed)
    row.remark = f"{found} found, {row.seeds - found - len(missed)} harmless, {len(missed)} missed"
    row.check()
    if damage in (a_chunk_deleted, a_chunk_flipped, a_ledger_row_altered):
        assert found == len(SEEDS)
