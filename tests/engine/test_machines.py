"""A store is driven at random, and must at every moment hold what a plain model says.

The model (`tinymodel`) knows files, options and versions, and works out in plain Python what each
dataset should hold and which blocks must run. Nothing of the engine is used for it.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tinymodel import BLOCK, CELLS, DAY, NAMES, NUMBERS, Block, Held, Model, numbers_in
from toytiny import FILL, VALID, day, path
from toyworld import content
from toyworld import day as day_of

from fluxengine import history, key
from fluxengine import run as runs
from fluxengine.declare import FAILED, NEVER_WRITTEN
from fluxengine.errors import RunFailed
from fluxengine.executors import run_block, serial
from fluxengine.ledger import STATE_WORDS
from fluxengine.plan import Plan, make_plan
from fluxengine.repository import MAIN, WORK
from fluxengine.run import Summary
from fluxengine.stand import Request
from fluxengine.store import Store
from fluxengine.task import Job, Outcome
from fluxengine.verify import verify

FEW = settings(
    max_examples=4,
    stateful_step_count=20,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # to find a shorter example would take minutes
)
MANY = settings(FEW, max_examples=40, stateful_step_count=40)
DAYS = 7
WORDS = {"valid; a later file was refused": "kept"}


class CutOffError(Exception):
    """A run ends in the middle."""


class Workers:
    """A serial executor that notes what it made, and may be cut off after some blocks."""

    def __init__(self, blocks: int | None = None) -> None:
        self.made: list[str] = []
        self.blocks = blocks

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        for job in jobs:
            if len(self.made) == self.blocks:
                raise CutOffError
            self.made.append(job.name)
            yield run_block(job)


class World:
    """An archive and a store in a folder, asked for what the model's options say."""

    def __init__(self, folder: Path, model: Model) -> None:
        self.folder, self.model = folder, model
        (folder / "archive").mkdir()
        self.set_factor(model.factor)

    def set_factor(self, factor: int) -> None:
        (self.folder / "factor.txt").write_text(str(factor))

    @property
    def store(self) -> Store:
        return Store.at(self.folder / "store", create=True)

    def file(self, step: int) -> Path:
        return self.folder / "archive" / path(day_of(step + 1))

    @property
    def request(self) -> Request:
        product = day(self.model.before, self.model.gain, self.folder / "factor.txt")
        archives = {"tiny": str(self.folder / "archive")}
        return Request(product, day_of(1), day_of(self.model.last), self.store, archives)

    def run(self, workers: Workers, *, accept_code: bool = False) -> Summary:
        with pytest.MonkeyPatch.context() as patch:
            if workers.blocks is not None:  # so that it is known what was committed before the cut
                patch.setattr(runs, "BLOCKS_PER_COMMIT", 1)
            return runs.run(self.request, lambda: nullcontext(workers), accept_code=accept_code)


def words_of(name: str, block: Block) -> str:
    """What the engine calls a block."""
    steps, tile = block
    beside = "" if name == DAY else f"-{tile}"
    return f"{name}-{steps[0] // BLOCK[name]:04}{beside}"


def planned(plan: Plan, kind: str) -> set[str]:
    """Names of the blocks that a plan says will run, or may."""
    return {f"{d.name}-{b.block.name}" for d in plan.datasets for b in getattr(d, kind)}


def stored(store: Store, name: str, snapshot: str) -> Held:
    """A snapshot as the model writes it; its flags are compared with its ledger on the way."""
    repository = store.repository(name)
    root, book = repository.read(snapshot), repository.ledger(snapshot)
    numbers, flags = (
        np.asarray(root[variable][...]).reshape(len(book.states), book.grid.tiles, -1)
        for variable in ("number", "state")
    )
    found = Held(length=len(numbers))
    for step, tile in np.ndindex(book.states.shape):
        word = STATE_WORDS[int(book.states[step, tile])]
        word, cells = WORDS.get(word, word), numbers[step, tile]
        has_values = word in ("valid", "kept")
        if not has_values:
            expected = NEVER_WRITTEN if word == "never written" else FAILED
            assert (flags[step, tile] == expected).all() and (cells == FILL).all()
        else:
            assert ((flags[step, tile] == VALID) == (cells != FILL)).all()
            assert (flags[step, tile] > FAILED).all()
        if word != "never written":
            known = tuple(None if n == FILL else int(n) for n in cells)
            found.rows[step, tile] = (word, known if has_values else ())
    return found


def numbers_of(step: int, seed: int) -> list[int | None]:
    """What a sound file holds."""
    dice = Random(f"{step} {seed}")
    return [dice.choice([None, *range(40)]) for _ in range(CELLS)]


SEEDS = st.integers(0, 9)
STEPS = st.integers(0, DAYS - 1)


class Machine(RuleBasedStateMachine):
    """All that may happen to a store, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(history, "SPARED", history.timedelta(0))
        known = key.code_digests
        self.patch.setattr(key, "code_digests", lambda d: known(d) | self.edited(d.name))
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.model = Model()
        self.world = World(self.folder, self.model)

    def edited(self, name: str) -> dict[str, str]:
        """As if somebody had edited the module of a dataset's stages."""
        return {"toytiny": f"{self.model.code[name]}" * 64}

    # --- files, options, code ---

    @initialize(seed=SEEDS)
    def begin(self, seed: int) -> None:
        for step in range(self.model.last):
            self.put(step, numbers_of(step, seed))
        self.run_it(Workers())

    def put(self, step: int, numbers: list[int | None] | str) -> None:
        text = numbers if isinstance(numbers, str) else str(numbers).replace("None", "null")
        self.world.file(step).write_text(text)
        self.model.files[step] = text.encode()

    @rule(step=STEPS, seed=SEEDS)
    def write_a_file(self, step: int, seed: int) -> None:
        self.put(step, numbers_of(step, seed))

    @rule(step=STEPS, how=st.sampled_from(["touched", "spaces", "lowest bit", "one number"]))
    def revise_a_file_a_little(self, step: int, how: str) -> None:
        """Of its bytes, its values, the halves that the next dataset adds up, less and more."""
        numbers = numbers_in(self.model.files.get(step))
        if numbers is None:
            return
        if how == "touched":
            os.utime(self.world.file(step))
        elif how == "spaces":
            self.put(step, json.dumps(numbers, indent=1))
        elif how == "lowest bit":
            self.put(step, [n if n is None else n ^ 1 for n in numbers])
        else:  # at which two of the next dataset's three tiles look, and not the first
            self.put(step, [*numbers[:3], 40 + (numbers[3] or 0), *numbers[4:]])

    @rule(step=STEPS, how=st.sampled_from(["cut short", "empty", "too large", "gone", "restored"]))
    def damage_or_restore_a_file(self, step: int, how: str) -> None:
        """Of two neighbours with numbers that are too large, the next dataset's block fails."""
        known = self.model.held[NUMBERS].sound.get(step)
        if how == "gone":
            self.world.file(step).unlink(missing_ok=True)
            self.model.files.pop(step, None)
        elif how == "restored" and known is not None:
            self.put(step, known.decode())
        else:
            self.put(step, {"cut short": "[1, 2", "too large": str([9_000] * CELLS)}.get(how, ""))

    @precondition(lambda self: self.model.last < DAYS)
    @rule()
    def add_a_day_to_the_period(self) -> None:
        self.model.last += 1

    @rule(what=st.sampled_from(["halo", "option", "weights", *NAMES]), value=st.integers(0, 2))
    def change_what_stands(self, what: str, value: int) -> None:
        """An option, the weights, or the code of a dataset."""
        if what == "halo":
            self.model.before = value
        elif what == "option":
            self.model.gain = 1 + value
        elif what == "weights":
            self.model.factor = 1 + value
            self.world.set_factor(self.model.factor)
        else:
            self.model.code[what] = value

    # --- the store ---

    @rule()
    def plan(self) -> None:
        self.planned_as_the_model_says()

    @rule()
    def run(self) -> None:
        self.run_it(Workers())

    @rule()
    def run_and_accept_the_code(self) -> None:
        self.run_it(Workers(), accept_code=True)

    @rule(blocks=st.integers(0, 9))
    def run_and_be_cut_off(self, blocks: int) -> None:
        self.run_it(Workers(blocks))

    @rule(name=st.sampled_from(NAMES), back=st.integers(0, 2))
    def restore_an_earlier_version(self, name: str, back: int) -> None:
        versions = sorted(self.model.versions[name], reverse=True)
        if back < len(versions):
            made = history.restore(self.world.store, name, f"v{versions[back]}")
            self.model.restore(name, versions[back])
            assert made == f"v{self.model.newest(name)}"
            self.stored_as_the_model_says()

    @rule(name=st.sampled_from(NAMES), keep=st.integers(1, 2))
    def prune_old_versions(self, name: str, keep: int) -> None:
        if self.world.store.has(name):
            history.prune(self.world.store, name, keep)
            self.model.prune(name, keep)
            self.stored_as_the_model_says()

    def run_it(self, workers: Workers, *, accept_code: bool = False) -> None:
        plan = self.planned_as_the_model_says()
        known = {name: self.model.newest(name) for name in NAMES}
        expected = self.model.run(workers.blocks, accept_code=accept_code)
        if expected is None:
            with pytest.raises((CutOffError, RunFailed)):
                self.world.run(workers, accept_code=accept_code)
            assert known == {name: self.model.newest(name) for name in NAMES}
        else:
            summary = self.world.run(workers, accept_code=accept_code)
            versions = {name: f"v{self.model.newest(name)}" for name in expected}
            assert summary.published == versions
            self.all_is_done()
        assert set(workers.made) <= planned(plan, "will_run") | planned(plan, "may_run")
        self.stored_as_the_model_says()

    # --- what must hold ---

    def planned_as_the_model_says(self) -> Plan:
        """Exactly the blocks whose inputs, code, weights or options differ will run."""
        plan = make_plan(self.world.request)
        wanted = {words_of(n, block) for n in NAMES for block in self.model.will_run(n)}
        assert planned(plan, "will_run") == wanted
        assert plan.is_empty or wanted
        return plan

    def all_is_done(self) -> None:
        """After a run nothing is left but what failed; blocks left out would come out the same."""
        left = [self.model.reasons(n, b) for n in NAMES for b in self.model.will_run(n)]
        assert all(reasons == {"quarantined"} for reasons in left)
        self.planned_as_the_model_says()
        assert self.model.contents() == self.model.from_scratch().contents()

    def stored_as_the_model_says(self) -> None:
        """The work, what is published, every version, and whatever else can be verified."""
        store = self.world.store
        for name in store.names:
            repository, held = store.repository(name), self.model.held[name]
            versions = self.model.versions[name]
            assert repository.versions == tuple(f"v{n}" for n in sorted(versions))
            assert stored(store, name, repository.tip(WORK)).rows == held.rows
            if versions:
                newest, main = self.model.newest(name), repository.tip(MAIN)
                assert main == repository.version(f"v{newest}")
                assert stored(store, name, main).rows == versions[newest].rows
            assert verify(store, name).findings == ()

    def teardown(self) -> None:
        try:
            self.ends_like_a_clean_run()
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder)

    def ends_like_a_clean_run(self) -> None:
        """The digests of a store with a history are those of a new one."""
        if not self.model.files:  # it never began
            return
        self.run_it(Workers())
        for name, versions in self.model.versions.items():
            repository = self.world.store.repository(name)
            for number, held in versions.items():
                snapshot = repository.version(f"v{number}")
                assert stored(self.world.store, name, snapshot).rows == held.rows
        if self.model.unpublished:
            return
        (self.folder / "clean").mkdir()
        clean = World(self.folder / "clean", self.model)
        for step, file in self.model.held[NUMBERS].sound.items():
            clean.file(step).write_bytes(file)
        runs.run(clean.request, lambda: nullcontext(serial))
        assert content(clean.store) == content(self.world.store)


def test_all_of_it_once_in_a_plain_order() -> None:
    machine = Machine()
    try:
        machine.begin(seed=0)
        machine.write_a_file(step=2, seed=1)
        machine.run_and_be_cut_off(blocks=3)
        machine.run()
        machine.revise_a_file_a_little(step=1, how="one number")
        machine.run()
        machine.revise_a_file_a_little(step=1, how="lowest bit")
        machine.damage_or_restore_a_file(step=3, how="cut short")
        machine.change_what_stands("tiny-near", 1)
        machine.run_and_accept_the_code()
        machine.restore_an_earlier_version("tiny-near", back=1)
        machine.add_a_day_to_the_period()
        machine.change_what_stands("weights", 2)
        machine.plan()
        machine.damage_or_restore_a_file(step=1, how="too large")
        machine.damage_or_restore_a_file(step=2, how="too large")
        machine.run()
        machine.prune_old_versions("tiny-day", keep=1)
        machine.prune_old_versions("tiny-near", keep=2)
        machine.damage_or_restore_a_file(step=2, how="gone")
        machine.change_what_stands("tiny-day", 1)
        machine.change_what_stands("halo", 0)
        machine.run_and_accept_the_code()
        machine.restore_an_earlier_version("tiny-numbers", back=2)
    finally:
        machine.teardown()


@pytest.mark.parametrize(
    "length", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_a_store_holds_what_the_model_says_whatever_happens(length: settings) -> None:
    run_state_machine_as_test(Machine, settings=length)
