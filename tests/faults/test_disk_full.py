"""A disk that fills up at any moment: said in words, nothing lost, and the same run goes on."""

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from processes import fill, small_disk
from toyworld import World
from trials import DAYS, Tally, Worlds, published

from fluxengine.errors import NoSpace

pytestmark = pytest.mark.faults

LEVELS = 10


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "size=6m") as place:
        yield place


def used(disk: Path) -> int:
    """Bytes that are taken: of whole pages, as the disk counts."""
    stat = os.statvfs(disk)
    return (stat.f_blocks - stat.f_bfree) * stat.f_frsize


def moved(world: World, disk: Path) -> World:
    """The world with its store on the small disk, where nothing else is."""
    shutil.rmtree(disk / "store", ignore_errors=True)  # of the level before
    if world.store.exists():
        shutil.move(world.store, disk / "store")
    else:
        (disk / "store").mkdir()
    world.store.symlink_to(disk / "store")
    return world


def written_by_a_run(world: World, disk: Path) -> int:
    """Bytes."""
    before = used(disk)
    world.run(DAYS)
    return used(disk) - before


def survive(make: Callable[[Path], World], clean: World, disk: Path, row: Tally, base: Path) -> int:
    """From no space at all to nearly enough for a run. How often the run said that it is full."""
    folders = (base / f"level-{number}" for number in count())
    needs, told = written_by_a_run(moved(make(next(folders)), disk), disk), 0
    for level in range(LEVELS):
        world = moved(make(next(folders)), disk)
        before = published(world.store)
        ballast = fill(disk, int(level / LEVELS * needs))
        try:
            world.run(DAYS)
        except NoSpace:
            told += 1
            # Each dataset is published as before or, where it had come so far, as a whole.
            after, new = published(world.store), published(clean.store)
            assert all(digest in (before.get(name), new[name]) for name, digest in after.items())
            assert after.keys() >= before.keys()
        ballast.unlink()
        world.run(DAYS)
        row.compare(world.store, clean.store)
    return told


@pytest.mark.parametrize("over", ["revised files", "first run"])
def test_at_every_level_of_free_space(
    worlds: Worlds, disk: Path, tmp_path: Path, tally: Callable[[str], Tally], over: str
) -> None:
    row = tally(f"disk full: {over}")
    begun = worlds.revised if over == "revised files" else worlds.fresh
    told = survive(begun, worlds.clean[1], disk, row, tmp_path)
    row.remark = f"{told} stopped in words, at ten levels of free space"
    row.check()
    assert told >= LEVELS - 1


@pytest.mark.parametrize("left", [0, 5, 40])
def test_a_disk_without_room_for_more_files(
    worlds: Worlds, tmp_path: Path, tally: Callable[[str], Tally], left: int
) -> None:
    row = tally(f"disk full: room for {left} more files")
    with small_disk(tmp_path / "disk", "size=20m,nr_inodes=2000") as disk:
        world = moved(worlds.revised(tmp_path), disk)
        crowd = [disk / f"file-{number}" for number in range(os.statvfs(disk).f_ffree - left)]
        for file in crowd:
            file.touch()
        with pytest.raises(NoSpace):
            world.run(DAYS)
        assert published(world.store).keys() == published(worlds.clean[0].store).keys()
        for file in crowd:
            file.unlink()
        world.run(DAYS)
        row.compare(world.store, worlds.clean[1].store)
    row.check()
