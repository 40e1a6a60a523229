"""Products of other shapes than a daily map run on the same engine, without a line of it changed.

A swath made ten times finer on two grids; a series with lead times; an hourly table over land.
Each result is compared with plain NumPy over the whole of the inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import icechunk
import numpy as np
import pytest
import xarray as xr
import zarr
from shapesworld import Shapes
from toyshapes import land, leads, sources, transport
from toyworld import day

from fluxengine.declare import Arrays, Output, Packing, PlainStage, Product, Read, Variable
from fluxengine.errors import ConfigError, DeclarationError, StoreMismatch
from fluxengine.export import export
from fluxengine.grid import Axis, Grid, counts, days, every, months
from fluxengine.ledger import OUTSIDE
from fluxengine.plan import make_plan
from fluxengine.status import of_store
from fluxengine.store import Store, open_dataset
from fluxengine.verify import verify


@pytest.fixture
def shapes(tmp_path: Path) -> Shapes:
    made = Shapes(tmp_path)
    made.write_all()
    return made


# --- a swath, ten times finer --------------------------------------------------------------------

SEVEN = leads.leads(leads.Options())
FIVE = leads.leads(leads.Options(number=5))


def refined(shapes: Shapes) -> np.ndarray:
    scenes = np.stack([shapes.read(sources.scene_path(s)) for s in sources.SCENES])
    fine = leads.refined(leads.refined(scenes, 1), 2)
    return (fine > 271.0).astype("f8")


def test_outputs_on_two_grids_equal_the_untiled_result(shapes: Shapes) -> None:
    summary = shapes.run(SEVEN, last=None)
    assert summary.blocks == {"toy-scenes": 4, "toy-leads": 12}  # scenes by two, three tiles
    coarse = open_dataset(shapes.store, "toy-leads")
    fine = open_dataset(shapes.store, "toy-leads", group="fine")
    assert coarse["share"].shape == (7, 12, 16)
    assert fine["lead"].shape == (7, 120, 160)
    assert fine["y"].values[:3].tolist() == [0, 1, 2]
    assert coarse["y"].values[:3].tolist() == [0, 10, 20]
    expected = refined(shapes)
    np.testing.assert_array_equal(fine["lead"].values, expected)
    shares = expected.reshape(7, 12, 10, 16, 10).mean(axis=(2, 4))
    np.testing.assert_allclose(coarse["share"].values, shares, rtol=1e-6)


def test_a_revised_scene_makes_its_own_blocks_again_and_no_other(shapes: Shapes) -> None:
    shapes.run(SEVEN, last=None)
    shapes.scene(3, seed=1)
    plan = make_plan(shapes.request(SEVEN, last=None))
    words = {w for d in plan.datasets for b in d.blocks for w in b.why}
    assert words == {"inputs changed: toy-scenes files A003", "waits for toy-scenes: A003"}
    assert shapes.run(SEVEN, last=None).blocks == {"toy-scenes": 1, "toy-leads": 3}
    np.testing.assert_array_equal(
        open_dataset(shapes.store, "toy-leads", group="fine")["lead"].values, refined(shapes)
    )


def test_new_scenes_are_appended(shapes: Shapes) -> None:
    shapes.run(FIVE, last=None)
    assert shapes.run(SEVEN, last=None).blocks == {"toy-scenes": 2, "toy-leads": 6}
    clean = Shapes(shapes.folder / "clean")
    (shapes.folder / "clean").mkdir()
    (shapes.folder / "clean" / "archive").symlink_to(shapes.folder / "archive")
    clean.run(SEVEN, last=None)
    assert shapes.content() == clean.content()


def test_fewer_scenes_leave_the_others_as_they_are(shapes: Shapes) -> None:
    shapes.run(SEVEN, last=None)
    before = shapes.content()
    assert shapes.run(FIVE, last=None).did_nothing
    assert shapes.content() == before


def test_both_grids_are_sharded_by_block(shapes: Shapes) -> None:
    shapes.run(SEVEN, last=None)
    repository = Store.at(shapes.store).repository("toy-leads")
    root = repository.read(repository.tip())
    arrays = [root[name] for name in ("share", "fine/lead")]
    assert all(isinstance(array, zarr.Array) for array in arrays)
    assert [array.shards for array in arrays] == [(2, 4, 16), (2, 40, 160)]
    assert [array.chunks for array in arrays] == [(1, 4, 16), (1, 20, 160)]


@pytest.mark.parametrize(
    ("fine", "what"),
    [
        (Grid(time=days("2020-01-01", block=2), x=counts(0, 40, 5)), "do not end together"),
        (Grid(time=days("2020-01-01", block=2), x=counts(0, 80)), "another extent"),
        (Grid(time=days("2020-01-01", block=2)), "they would all write it"),
        (Grid(x=counts(0, 40), time=days("2020-01-01", block=2)), "must begin with time"),
    ],
)
def test_grids_whose_blocks_two_tasks_would_share_are_refused(
    shapes: Shapes, fine: Grid, what: str
) -> None:
    grid = Grid(time=days("2020-01-01", block=2), x=counts(0, 40, 2, block=4))
    product = Product("odd", grid, (), (), (), also=(Output("fine", fine, ()),))
    with pytest.raises(DeclarationError, match=what):
        make_plan(shapes.request(product))


# --- a series with lead times --------------------------------------------------------------------

SERIES = transport.transport(transport.Options())


def forecasts(shapes: Shapes, last: int = 12) -> np.ndarray:
    daily = np.array(
        [shapes.read(sources.day_path(day(n))).mean() for n in range(1, last + 1)], "f4"
    )
    past = np.array([daily[max(0, t - 3) : t + 1].sum() for t in range(last)])
    return past[:, None] * 0.5 ** np.arange(4)[None, :]


def test_a_series_with_lead_times_from_maps(shapes: Shapes) -> None:
    summary = shapes.run(SERIES)
    assert summary.blocks == {"toy-maps": 3, "toy-transport": 3}
    made = open_dataset(shapes.store, "toy-transport")["flow"]
    assert made.dims == ("time", "lead")
    np.testing.assert_allclose(made.values, forecasts(shapes), atol=1e-5)


def test_a_revised_map_reaches_as_far_as_the_halo(shapes: Shapes) -> None:
    shapes.run(SERIES)
    shapes.map(2, seed=1)
    assert shapes.run(SERIES).blocks == {"toy-maps": 1, "toy-transport": 1}
    shapes.map(3, seed=1)  # three days before the first of the next block
    assert shapes.run(SERIES).blocks == {"toy-maps": 1, "toy-transport": 2}
    made = open_dataset(shapes.store, "toy-transport")["flow"]
    np.testing.assert_allclose(made.values, forecasts(shapes), atol=1e-5)


# --- an hourly table over land -------------------------------------------------------------------

LAND = land.land(land.Options())


def heat(shapes: Shapes) -> np.ndarray:
    level = np.repeat(
        [shapes.read(sources.day_path(day(n))).astype("f4") for n in range(1, 13)], 24, axis=0
    )
    hour = np.tile(np.arange(24), 12)[:, None, None]
    return 2.0 * level + 0.1 * shapes.read("height.npy")[None] + hour


def test_hours_from_daily_and_static_inputs_within_a_domain(shapes: Shapes) -> None:
    summary = shapes.run(LAND)
    # Twelve days by two; of four tiles the northern two hold land.
    assert summary.blocks == {"toy-maps": 3, "toy-height": 1, "toy-land": 12}
    made = open_dataset(shapes.store, "toy-land")
    assert made["heat"].shape == (288, 8, 8)
    assert str(made["time"].values[25])[:16] == "2020-01-02T01:00"
    north = made["heat"].values[:, 4:]
    np.testing.assert_allclose(north, heat(shapes)[:, 4:], rtol=1e-5)
    assert np.isnan(made["heat"].values[:, :4]).all()
    assert made["domain"].values.sum() == 4 * 6
    assert made["domain"].attrs["flag_meanings"] == "outside inside"


def test_spared_tiles_are_neither_planned_nor_missed(shapes: Shapes) -> None:
    shapes.run(LAND)
    plan = make_plan(shapes.request(LAND))
    assert plan.is_empty
    assert int(plan.datasets[-1].wanted.sum()) == 12
    book = plan.datasets[-1].stand.ledger
    assert (book.states == OUTSIDE).all(axis=0).tolist() == [True, True, False, False]
    (status,) = (r for r in of_store(Store.at(shapes.store)) if r["dataset"] == "toy-land")
    assert status["never_written"] == 0


def test_another_map_of_heights_makes_every_block_again(shapes: Shapes) -> None:
    shapes.run(LAND)
    shapes.height(seed=1)
    plan = make_plan(shapes.request(LAND))
    assert {w for b in plan.datasets[-1].may_run for w in b.why} == {"waits for toy-height: always"}
    assert shapes.run(LAND).blocks == {"toy-height": 1, "toy-land": 12}
    made = open_dataset(shapes.store, "toy-land")["heat"]
    np.testing.assert_allclose(made.values[:, 4:], heat(shapes)[:, 4:], rtol=1e-5)


def test_a_revised_day_makes_again_the_hours_of_its_block(shapes: Shapes) -> None:
    shapes.run(LAND)
    shapes.map(7, seed=1)
    assert shapes.run(LAND).blocks == {"toy-maps": 1, "toy-land": 2}


def test_a_changed_domain_is_found(shapes: Shapes) -> None:
    shapes.run(LAND)
    assert verify(Store.at(shapes.store), "toy-land").findings == ()
    place = icechunk.local_filesystem_storage(str(shapes.store / "toy-land"))
    session = icechunk.Repository.open(place).writable_session("main")
    zarr.open_group(session.store, mode="r+")["domain"][...] = 1
    session.commit("behind the engine's back")
    (finding,) = verify(Store.at(shapes.store), "toy-land").findings
    assert finding.what == "domain has other values"


def test_another_domain_wants_another_store(shapes: Shapes) -> None:
    shapes.run(LAND)
    with pytest.raises(StoreMismatch, match="domain"):
        make_plan(shapes.request(land.land(land.Options(north_of=-10.0))))


def test_a_product_with_a_time_axis_needs_a_period(shapes: Shapes) -> None:
    with pytest.raises(ConfigError, match="needs a period"):
        make_plan(shapes.request(LAND, last=None))


# --- exported as files ---------------------------------------------------------------------------


def test_hours_are_exported_as_hours(shapes: Shapes) -> None:
    shapes.run(LAND)
    (file,) = export(Store.at(shapes.store), "toy-land", shapes.folder / "files")
    with xr.open_dataset(file) as found:
        assert found["heat"].equals(open_dataset(shapes.store, "toy-land")["heat"].load())
        assert found["time"].encoding["units"].startswith("seconds since")
        assert found.attrs["time_coverage_duration"] == "P12D"
        assert found.attrs["time_coverage_resolution"] == "PT1H"


@pytest.mark.parametrize(
    ("axis", "last", "resolution", "duration", "end"),
    [
        (days("2020-01-01", block=5), 12, "P1D", "P12D", "2020-01-12T00:00"),
        (months("2020-01", block=5), 60, "P1M", "P2M", "2020-02-01T00:00"),
        (every(5400, "2020-01-01", block=16), 1, "PT1H30M", "P1D", "2020-01-01T22:30"),
        (every(7 * 86_400, "2020-01-01", block=5), 14, "P7D", "P14D", "2020-01-08T00:00"),
    ],
)
def test_files_say_how_long_their_steps_are(
    shapes: Shapes, axis: Axis, last: int, resolution: str, duration: str, end: str
) -> None:
    shapes.map(32)  # the first of February
    grid = Grid(time=axis, **sources.MAP)
    shapes.run(sources.source("steps", grid, sources.level, sources.day_path), last)
    (file,) = export(Store.at(shapes.store), "steps", shapes.folder / "files", per="all")
    with xr.open_dataset(file) as found:
        assert found.attrs["time_coverage_resolution"] == resolution
        assert found.attrs["time_coverage_duration"] == duration
        assert found.attrs["time_coverage_start"] == "2020-01-01T00:00:00Z"
        assert found.attrs["time_coverage_end"] == f"{end}:00Z"


def test_what_has_no_time_axis_is_not_cut_into_files(shapes: Shapes) -> None:
    shapes.run(SEVEN, last=None)
    for name in ("toy-scenes", "toy-leads"):
        with pytest.raises(ConfigError, match=f"{name}: it has no time axis"):
            list(export(Store.at(shapes.store), name, shapes.folder / "files"))
    assert not (shapes.folder / "files").exists()


mean = Variable("mean", "m", "mean sea level", packing=Packing("f4"))


@dataclass(frozen=True)
class Averaged(PlainStage):
    """Hands the level on, and its mean."""

    inputs: tuple[str, ...] = ("level",)
    outputs: tuple[Variable, ...] = (sources.level, mean)

    def load(self) -> Callable[[Arrays], Arrays]:
        return lambda arrays: {"level": arrays["level"], "mean": arrays["level"].mean("lat")}


def test_every_grid_of_a_dataset_is_exported(shapes: Shapes) -> None:
    grid = sources.MAPS.grid
    other = Output("zonal", Grid(time=grid.axes["time"], lon=grid.axes["lon"]), (mean,))
    product = Product(
        "both",
        grid,
        (Read(sources.MAPS, ("level",)),),
        (Averaged(),),
        (sources.level,),
        also=(other,),
        title="Sea level",
    )
    shapes.run(product)
    store, folder = Store.at(shapes.store), shapes.folder / "files"
    files = list(export(store, "both", folder, first=day(2), last=day(11)))
    days = "20200102_20200111"
    assert [file.name for file in files] == [f"{n}_v1_{days}.nc" for n in ("both", "both_zonal")]
    for file, group in zip(files, (None, "zonal"), strict=True):
        stored = open_dataset(shapes.store, "both", group=group).isel(time=slice(1, 11))
        with xr.open_dataset(file) as found:
            assert {*found.data_vars} == {*stored.data_vars}
            for name in stored.data_vars:
                np.testing.assert_array_equal(found[name].values, stored[name].values)
            assert found.attrs["title"] == "Sea level"
