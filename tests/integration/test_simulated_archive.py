"""What the simulator writes, the readers read: reports, and the reanalysis in satellites' place."""

from contextlib import nullcontext
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from fluxengine import executors
from fluxengine.run import run
from fluxengine.stand import Request
from fluxengine.store import Store, open_dataset
from fluxrecipes import vocabulary as cf
from fluxrecipes.nature import World, archive
from fluxrecipes.nature.fields import Points, hours_since_epoch
from fluxrecipes.nature.files.table import Selection
from fluxrecipes.nature.moorings import MOORINGS
from fluxrecipes.nature.platforms import STATIONS
from fluxrecipes.products import deepflux
from fluxrecipes.sources import reports

DAY, SEED = date(2018, 2, 1), 2018
FEEDS = ("ndbc", "gtmba", "oceansites", "icoads")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    wanted = Selection(outputs=(*FEEDS, "era5"))
    return archive.simulate(folder / "archive", DAY, DAY, seed=SEED, selection=wanted, processes=1)


def run_file(folder: Path, root: Path, product: str, day: date = DAY, **options: object) -> Path:
    path = folder / f"{product}.yaml"
    content = {
        "product": product,
        "period": {"first": str(day), "last": str(day)},
        "options": options,
        "archives": {name: str(root / name) for name in (*FEEDS, "era5", "rss", "oisst")},
        "profiles": {"serial": {"store": str(folder / "store"), "cluster": {"kind": "serial"}}},
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def february(fluxforge, root: Path, tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    folder = tmp_path_factory.mktemp("table")
    feeds = [part for name in FEEDS for part in ("--feed", name)]
    fluxforge("ingest", "insitu", "-c", run_file(folder, root, "insitu"), *feeds)
    return open_dataset(folder / "store", "insitu", month="2018-02").load()


def of_feed(table: xr.Dataset, code: int, averaging: int = reports.SHORT) -> xr.Dataset:
    mine = (table["feed"].values == code) & (table["averaging"].values == averaging)
    return table.isel(report=np.flatnonzero(mine))


@pytest.mark.parametrize(
    ("feed", "platforms", "least"),
    [
        (reports.NDBC, len(STATIONS), 22),
        (reports.GTMBA, len(MOORINGS), 20),
        (reports.OCEANSITES, 3, 22),
        (reports.ICOADS, 100, 1),
    ],
)
def test_every_platform_reports(
    february: xr.Dataset, feed: int, platforms: int, least: int
) -> None:
    found, counts = np.unique(
        of_feed(february, feed)["platform"].values.tolist(), return_counts=True
    )
    assert len(found) >= 0.9 * platforms and np.median(counts) >= least


def test_daily_means_of_moorings_stay_apart_from_their_hourly_reports(february: xr.Dataset) -> None:
    daily = of_feed(february, reports.GTMBA, reports.LONG)
    assert 0.9 * len(MOORINGS) <= daily.sizes["report"] <= len(MOORINGS)
    assert set(daily["time"].dt.hour.values.tolist()) == {12}


@pytest.mark.parametrize("feed", [reports.NDBC, reports.GTMBA, reports.OCEANSITES, reports.ICOADS])
def test_what_is_reported_is_the_truth_with_the_errors_of_sensors(
    february: xr.Dataset, feed: int
) -> None:
    found = of_feed(february, feed)
    assert np.isfinite(found["height_wind"].values).mean() > 0.9
    hours = hours_since_epoch(np.datetime64("1970-01-01")) + (
        found["time"].values.astype("datetime64[s]").astype("i8") / 3600
    )
    row = np.floor((found["latitude"].values.astype("f8") + 90) * 4).astype(int)
    truth = World(SEED).state(Points(row, found["longitude"].values.astype("f4"), hours))
    ships = feed == reports.ICOADS
    for name, there, spread in (
        ("sea_surface_temperature", truth.sea_surface_temperature, 1.5 if ships else 0.5),
        ("air_pressure", truth.surface_pressure, 300 if ships else 100),
    ):
        difference = found[name].values - there
        known = np.isfinite(difference)
        assert known.mean() > (0.5 if ships else 0.8) or name == "air_pressure"
        assert not known.any() or np.std(difference[known]) < spread, name
    # Wind and air are measured lower than 10 m, or higher: near what is there.
    ratio = np.nanmedian(found["wind_speed"].values / truth.wind_speed)
    assert 0.85 < ratio < 1.15
    humidity = found["specific_humidity"].values / truth.specific_humidity
    assert 0.95 < np.nanmedian(humidity) < 1.1


def test_a_day_without_satellites_is_taken_from_era5(fluxforge, root: Path, tmp_path: Path) -> None:
    """ERA5 as simulated, at 00 UTC, as passes of a satellite would be."""

    store = Store.at(tmp_path / "store", create=True)
    roots = {"era5": str(root / "era5")}
    request = Request(deepflux.reanalysis(), DAY, DAY, store, roots)
    run(request, partial(nullcontext, executors.serial))
    seen = open_dataset(tmp_path / "store", "deepflux-reanalysis").load()
    truth = World(SEED).surface(np.datetime64(DAY), (-60, 60))
    state = seen["reanalysis_state"].values[0]
    assert set(np.unique(state)) <= {cf.REANALYSIS, cf.LAND, cf.SEA_ICE}
    assert set(seen["pass_time"].values[np.isfinite(seen["pass_time"].values)]) == {0.0}
    for name, spread in (
        ("water_vapour", 4.0),
        ("sea_surface_temperature", 0.6),
        ("wind_speed", 1.6),
    ):
        difference = seen[name].values[0, 0] - truth[name].values
        known = np.isfinite(difference)
        assert known.mean() > 0.6
        assert difference[known].std() < spread and abs(difference[known].mean()) < 0.5, name


def test_satellites_are_ranked_by_their_winds(fluxforge, tmp_path: Path) -> None:
    """Two satellites, with biases of their own, against the buoys of their world."""
    day = date(2017, 2, 1)  # 2018 is held back: nothing is ranked by it
    wanted = Selection(outputs=("rss", "ndbc", "gtmba"), satellites=("f16", "f17"))
    archive.simulate(tmp_path / "archive", day, day, seed=SEED, selection=wanted, processes=1)
    config = run_file(tmp_path, tmp_path / "archive", "deepflux", day, sensors=["f16", "f17"])
    store = Store.at(tmp_path / "store", create=True)
    options = deepflux.Options(sensors=("f16", "f17"))
    roots = {"rss": str(tmp_path / "archive/rss")}
    request = Request(deepflux.merged(options), day, day, store, roots)
    run(request, partial(nullcontext, executors.serial))
    fluxforge("ingest", "insitu", "-c", config, "--feed", "ndbc", "--feed", "gtmba")
    told = fluxforge("rank", "-c", config).stdout
    order = yaml.safe_load(told[told.index("ranking:") :])["ranking"]
    assert set(order["2017-02"]) == {"f16", "f17"}
    chosen = deepflux.Options(sensors=("f16", "f17"), merge="closest-to-in-situ", ranking=order)
    believed = deepflux.merged(chosen).stages[0].constellation.order(day)
    assert believed == tuple(order["2017-02"])
    held = run_file(tmp_path, tmp_path / "archive", "deepflux", sensors=["f16", "f17"])
    refused = fluxforge("rank", "-c", held, check=1)
    assert "held out" in refused.stderr and "no month can be ranked" in refused.stderr
