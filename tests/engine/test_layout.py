"""Attributes: what describes stored numbers follows what is declared, or the run is refused."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import zarr
from toyfields.products import Options, coarse
from toyworld import World
from zarr.storage import MemoryStore

from fluxengine import executors, layout, ledger, metadata, run
from fluxengine.declare import Output, Product
from fluxengine.errors import StoreMismatch
from fluxengine.grid import Grid, days, degrees, labels
from fluxengine.layout import Layout
from fluxengine.store import open_dataset
from fluxengine.verify import verify

WIND, STATE = coarse(Options()).publishes
NAME = "toy-coarse"


def laid_out(
    last: str = "2020-01-04", *, flags: dict[int, str] | None = None, **wind: Any
) -> Layout:
    """Some days of two variables, one of them in a group; `flags` are all of its codes."""
    time = days("2020-01-01", last, block=4)
    grid = Grid(time=time, orbit=labels("ascending", "descending"), lat=degrees(0, 4, 1))
    state = STATE if flags is None else replace(STATE, flags=flags)
    outputs = Output("", grid, (replace(WIND, **wind),)), Output("fine", grid, (state,))
    return Layout("d", grid, outputs, {"title": "Wind"})


def made(wanted: Layout) -> zarr.Group:
    """A dataset as it is before a value is written."""
    root = zarr.create_group(MemoryStore())
    layout.create(root, wanted)
    root.require_group(ledger.GROUP)
    metadata.sign(root)
    return root


def test_a_dataset_is_described_as_it_was_made() -> None:
    odd = {"title": "Wind", "numbers": (1, 2)}  # which JSON gives back as a list
    for wanted in (laid_out(), replace(laid_out(), attrs=odd)):
        assert not layout.differs(made(wanted), wanted)
    assert layout.differs(made(laid_out()), replace(laid_out(), attrs=odd))


@pytest.mark.parametrize(
    "changed",
    [
        {"long_name": "mean wind"},
        {"standard_name": None},
        {"height": 10.0},
        {"attrs": {"calibration": (1.5, 2), "comment": "of buoys"}},
        {"flags": {**STATE.flags, 9: "calm"}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_changed_attributes_are_written_anew(changed: dict[str, Any]) -> None:
    root, wanted = made(laid_out()), laid_out(**changed)
    layout.check(root, wanted)
    assert layout.differs(root, wanted)
    layout.describe(root, wanted)
    assert not layout.differs(root, wanted)
    fresh = made(wanted)
    for path in ("wind", "fine/wind_state"):
        assert dict(root[path].attrs) == dict(fresh[path].attrs)
    assert set(root.array_keys()) == set(fresh.array_keys())  # heights among them


def test_coordinates_are_described_anew_as_well() -> None:
    root, wanted = made(laid_out()), laid_out()
    for path in ("lat", "fine/time"):
        root[path].update_attributes({"long_name": "of old", "comment": "of old"})
    layout.describe(root, wanted)
    assert dict(root["lat"].attrs) == layout.SPACE["lat"]
    assert dict(root["fine/time"].attrs) == dict(root["time"].attrs)


def test_a_longer_dataset_is_described_anew() -> None:
    root, wanted = made(laid_out()), laid_out("2020-01-08", long_name="mean wind")
    layout.extend(root, wanted)
    assert root["wind"].attrs["long_name"] == "mean wind"
    assert root["wind"].shape == root["fine/wind_state"].shape == (8, 2, 4)
    assert layout.stored_grid(root) == wanted.grid and not layout.differs(root, wanted)


def test_other_units_are_refused() -> None:
    root = made(laid_out())
    with pytest.raises(StoreMismatch, match=r"wind is stored with units 'm s-1'.* wants 'km h-1'"):
        layout.check(root, laid_out(units="km h-1"))


def test_a_code_that_would_mean_something_else_is_refused() -> None:
    root = made(laid_out(flags={**STATE.flags, 9: "calm"}))
    wanted = laid_out(flags={**STATE.flags, 8: "calm", 9: "gale"})
    with pytest.raises(StoreMismatch, match=r"fine/wind_state .* code 9 'calm'.* wants 'gale'"):
        layout.check(root, wanted)
    with pytest.raises(StoreMismatch, match="Give the run a new store"):
        layout.extend(root, replace(wanted, grid=laid_out("2020-01-08").grid))


def test_a_code_that_is_declared_no_more_keeps_its_meaning() -> None:
    """Blocks that the run does not make may hold it, and no later run may give it another."""
    root, wanted = made(laid_out(flags={**STATE.flags, 9: "calm"})), laid_out(flags={7: "gale"})
    layout.describe(root, wanted)
    told = root["fine/wind_state"].attrs
    assert told["flag_values"] == [0, 1, 2, 3, 7, 9]
    assert str(told["flag_meanings"]).split()[-2:] == ["gale", "calm"]
    assert not layout.differs(root, wanted)
    metadata.sign(root)
    with pytest.raises(StoreMismatch, match="code 9 'calm'"):
        layout.check(root, laid_out(flags={9: "gale"}))


def changed_wind(**changes: Any) -> Product:
    """The product with another wind; its blocks are made again for its valid range."""
    wind = replace(WIND, valid_range=(0, 50), **changes)
    return replace(coarse(Options()), publishes=(wind, STATE))


def test_a_run_publishes_what_is_declared_now_and_signs_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where other blocks of the run were under way when it wrote the attributes."""
    world.run(product=coarse(Options()))
    monkeypatch.setattr(run, "BLOCKS_PER_COMMIT", 1)
    product = changed_wind(long_name="mean wind", height=10.0)
    at_once = partial(nullcontext, lambda jobs: executors.serial(list(jobs)))
    assert run.run(world.request(product=product), at_once).blocks == {NAME: 3}
    assert verify(world.opened(), NAME).findings == ()
    stored = open_dataset(world.store, NAME)
    assert stored["wind"].attrs["long_name"] == "mean wind"
    assert float(stored["height_10m"]) == 10
    assert world.plan(product=product).is_empty


def test_a_run_in_other_units_touches_nothing(world: World) -> None:
    world.run(product=coarse(Options()))
    before = world.content()
    with pytest.raises(StoreMismatch, match="units 'm s-1'"):
        world.run(product=changed_wind(units="km h-1"))
    assert world.content() == before


def test_the_ledgers_group_is_called_alike_everywhere() -> None:
    assert metadata.GROUP == ledger.GROUP
