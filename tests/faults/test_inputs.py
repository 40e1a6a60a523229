"""Input files truncated, flipped, swapped, empty, late: marked or refused, and good once mended."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from random import Random

import numpy as np
import pytest
from toyfaults import sealed
from toyworld import World, day
from trials import DAYS, Tally

from fluxengine import executors
from fluxengine.run import Summary, run
from fluxengine.store import open_dataset
from fluxengine.task import Job, Outcome

pytestmark = pytest.mark.faults

CALM = sealed.calm(sealed.Options())
ALL_DAYS = range(1, DAYS + 1)
SEEDS = range(6)


def file_of(world: World, number: int) -> Path:
    return world.archive / sealed.path(day(number))


def content_of(number: int, seed: int) -> bytes:
    raw = np.random.default_rng([number, seed]).integers(100, 3000, sealed.SHAPE)
    return sealed.encode(day(number), raw)


def write(world: World, numbers: Iterable[int], seed: int) -> None:
    for number in numbers:
        file_of(world, number).parent.mkdir(parents=True, exist_ok=True)
        file_of(world, number).write_bytes(content_of(number, seed))


def made(folder: Path, seed: int) -> World:
    world = World(folder)
    write(world, ALL_DAYS, seed)
    world.run(DAYS, product=CALM)
    return world


def truncated(world: World, numbers: list[int], dice: Random) -> None:
    for number in numbers:
        whole = file_of(world, number).read_bytes()
        file_of(world, number).write_bytes(whole[: dice.randrange(1, len(whole))])


def flipped(world: World, numbers: list[int], dice: Random) -> None:
    for number in numbers:
        content = bytearray(file_of(world, number).read_bytes())
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        file_of(world, number).write_bytes(content)


def swapped(world: World, numbers: list[int], dice: Random) -> None:
    """Each has the next one's content."""
    contents = [file_of(world, number).read_bytes() for number in numbers]
    for number, content in zip(numbers, contents[1:] + contents[:1], strict=True):
        file_of(world, number).write_bytes(content)


def empty(world: World, numbers: list[int], dice: Random) -> None:
    for number in numbers:
        file_of(world, number).write_bytes(b"")


def late(world: World, numbers: list[int], dice: Random) -> None:
    for number in numbers:
        file_of(world, number).unlink()


Damage = Callable[[World, list[int], Random], None]
DAMAGES: tuple[Damage, ...] = (truncated, flipped, swapped, empty, late)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, World]:
    """After a clean run over files of seed 0, and of seed 1; not to be changed."""
    return made(tmp_path_factory.mktemp("zero"), 0), made(tmp_path_factory.mktemp("one"), 1)


def bad_days(dice: Random) -> list[int]:
    """Two or three of them, some days of a block and never all."""
    return sorted(dice.sample(ALL_DAYS, dice.choice([2, 3])))


def winds(world: World, numbers: Iterable[int]) -> np.ndarray:
    """What is published of some days."""
    stored = open_dataset(world.store, "toy-sealed")["wind"].values
    return stored[[number - 1 for number in numbers]]


@pytest.mark.parametrize("damage", DAMAGES)
def test_in_a_first_run(
    damage: Damage,
    clean: tuple[World, World],
    folders: Iterator[Path],
    tally: Callable[[str], Tally],
) -> None:
    """The days are marked and have no values; mended, they are as if nothing had been."""
    row, marked = tally(f"input {damage.__name__}: first run"), 0
    for seed in SEEDS:
        world, dice = World(next(folders)), Random(seed)
        write(world, ALL_DAYS, 1)
        days = bad_days(dice)
        damage(world, days, dice)
        told = world.run(DAYS, product=CALM).marked
        marked += len(told)
        for number in days:  # without values or, where a flip does no harm, with the right ones
            there = winds(world, [number])
            is_marked = any(str(day(number)) in line for line in told)
            right = np.array_equal(there, winds(clean[1], [number]), equal_nan=True)
            assert np.isnan(there).all() if is_marked else right
        write(world, days, 1)
        assert world.run(DAYS, product=CALM).marked == ()
        row.compare(world.store, clean[1].store)
    row.remark = f"{marked} days marked"
    row.check()
    assert marked


@pytest.mark.parametrize("damage", DAMAGES)
def test_in_a_revision(
    damage: Damage,
    clean: tuple[World, World],
    folders: Iterator[Path],
    tally: Callable[[str], Tally],
) -> None:
    """The good values stay until a sound file comes, while the other days are revised."""
    row, kept = tally(f"input {damage.__name__}: revision"), 0
    for seed in SEEDS:
        world, dice = made(next(folders), 0), Random(seed)
        write(world, ALL_DAYS, 1)
        days = bad_days(dice)
        damage(world, days, dice)
        told = world.run(DAYS, product=CALM).marked
        kept += len(told)
        for number in ALL_DAYS:
            is_kept = any(str(day(number)) in line for line in told)
            is_kept |= damage is late and number in days  # told by `plan`: it still awaits them
            expected = clean[0] if is_kept else clean[1]
            there = winds(world, [number])
            assert np.array_equal(there, winds(expected, [number]), equal_nan=True), number
        write(world, days, 1)
        assert world.run(DAYS, product=CALM).marked == ()
        row.compare(world.store, clean[1].store)
    row.remark = f"{kept} days kept as they were"
    row.check()


# --- files that change under a run ----------------------------------------------------------------


def run_while(world: World, meanwhile: Callable[[], None]) -> Summary:
    """A run during which, after the plan and before the first block, something happens."""

    def execute(jobs: Iterable[Job]) -> Iterator[Outcome]:
        meanwhile()
        return executors.serial(jobs)

    return run(world.request(DAYS, product=CALM), lambda: nullcontext(execute))


def test_files_revised_after_the_plan(
    clean: tuple[World, World], folders: Iterator[Path], tally: Callable[[str], Tally]
) -> None:
    """What was read is what the ledger says was read."""
    row = tally("input revised between plan and reading")
    for seed in SEEDS:
        world, days = World(next(folders)), bad_days(Random(seed))
        write(world, ALL_DAYS, 1)
        write(world, days, 0)
        run_while(world, lambda: write(world, days, 1))  # noqa: B023
        assert world.run(DAYS, product=CALM).did_nothing
        row.compare(world.store, clean[1].store)
    row.check()


@pytest.mark.parametrize("seed_between", [0, None])
def test_files_put_back_after_they_were_read(
    seed_between: int | None,
    clean: tuple[World, World],
    folders: Iterator[Path],
    tally: Callable[[str], Tally],
) -> None:
    """The files are as they were planned, but other ones, or halves of them, were read."""
    what = "half copied" if seed_between is None else "another"
    row = tally(f"input {what} while it was read, then as planned")
    for seed in SEEDS:
        world, dice = World(next(folders)), Random(seed)
        write(world, ALL_DAYS, 1)
        days = bad_days(dice)
        if seed_between is None:
            assert run_while(world, lambda: truncated(world, days, dice)).marked  # noqa: B023
        else:
            run_while(world, lambda: write(world, days, 0))  # noqa: B023
        write(world, days, 1)
        assert world.run(DAYS, product=CALM).marked == ()
        row.compare(world.store, clean[1].store)
    row.check()


def test_files_that_change_while_they_are_decoded(
    clean: tuple[World, World],
    folders: Iterator[Path],
    tally: Callable[[str], Tally],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the old nor the new content may be trusted: marked, and read again."""
    row = tally("input changes while it is decoded")
    unpack = sealed.gzip.decompress
    for seed in SEEDS:
        world, days = World(next(folders)), bad_days(Random(seed))
        write(world, ALL_DAYS, 1)

        def unpack_slowly(content: bytes) -> bytes:
            for number in days:  # noqa: B023
                write(world, [number], 0)  # noqa: B023
            return unpack(content)

        with monkeypatch.context() as patch:
            patch.setattr(sealed.gzip, "decompress", unpack_slowly)
            marked = world.run(DAYS, product=CALM).marked
        assert any("changed while it was read" in line for line in marked)
        write(world, days, 1)
        assert world.run(DAYS, product=CALM).marked == ()
        row.compare(world.store, clean[1].store)
    row.check()
