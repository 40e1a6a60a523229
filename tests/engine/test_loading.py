"""What a worker loads: once, however many of its threads want it."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from toyfields.stages import Coarsen

from fluxengine import worker
from fluxengine.declare import Arrays
from fluxengine.worker import loaded

SECONDS = 20.0


class Loads:
    """Counts how often each stage is loaded, and does meanwhile what it is told."""

    def __init__(self) -> None:
        self.of: Counter[int] = Counter()
        self.meanwhile: Callable[[int], object] = lambda factor: None

    def load(self, stage: Coarsen) -> Callable[[Arrays], Arrays]:
        self.of[stage.factor] += 1
        self.meanwhile(stage.factor)
        return lambda arrays: arrays


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    made = Loads()
    monkeypatch.setattr(Coarsen, "load", lambda stage: made.load(stage))
    monkeypatch.setattr(worker, "_LOADED", {})
    return made


def at_once(*factors: int) -> list[object]:
    """What threads get that want stages at the same time."""
    got: list[object] = []
    threads = [
        threading.Thread(target=lambda f=f: got.append(loaded(Coarsen(f))), daemon=True)
        for f in factors
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    return got


def test_threads_of_one_worker_load_a_stage_once(loads: Loads) -> None:
    loads.meanwhile = lambda _: threading.Event().wait(0.2)
    got = at_once(2, 2, 2, 2)
    assert loads.of == {2: 1}
    assert len(got) == 4 and len(set(got)) == 1


def test_other_stages_are_loaded_side_by_side(loads: Loads) -> None:
    both = threading.Barrier(2)
    loads.meanwhile = lambda _: both.wait(SECONDS / 2)
    assert len(at_once(2, 4)) == 2
    assert loads.of == {2: 1, 4: 1}


def test_a_stage_may_load_another_one(loads: Loads) -> None:
    loads.meanwhile = lambda factor: loaded(Coarsen(4)) if factor == 2 else None
    at_once(2, 4)
    assert loads.of == {2: 1, 4: 1}


def test_a_stage_that_could_not_be_loaded_is_loaded_the_next_time(loads: Loads) -> None:
    def fails(_: int) -> None:
        if loads.of[2] == 1:
            raise OSError("not yet")

    loads.meanwhile = fails
    with pytest.raises(OSError, match="not yet"):
        loaded(Coarsen(2))
    assert loaded(Coarsen(2)) is loaded(Coarsen(2))
    assert loads.of == {2: 2}
