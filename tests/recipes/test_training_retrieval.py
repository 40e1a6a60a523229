"""Training on matchups: what is fed to the net, what it may never see, and what it learns.

The store is a small one: waves of wind and vapour over a sea that is warm in its middle, air that
is a linear function of them, and buoys in the waves that report it with noise.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import torch
import typer
import xarray as xr
import yaml
import zarr
from typer.testing import CliRunner

from fluxengine.errors import ConfigError, UnknownName
from fluxengine.layout import FORMAT
from fluxengine.store import MARKER
from fluxkernels.nets import weights
from fluxkernels.thermodynamics import saturation_specific_humidity
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.constellation import CODES, NO_SATELLITE
from fluxrecipes.matchups import by_month, climatology, matching
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.near_surface import from_sea, relative_to_sea
from fluxrecipes.skill import command as skill_command
from fluxrecipes.skill import points
from fluxrecipes.skill import settings as skill_settings
from fluxrecipes.skill.reported import reported
from fluxrecipes.sources import reports
from fluxrecipes.training import (
    calibration,
    checkpoint,
    command,
    correction,
    loop,
    matched,
    retrieval,
    scenes,
    settings,
)
from fluxrecipes.training.archive import HeldOut
from fluxrecipes.training.calibration import calibrated
from fluxrecipes.training.labelled import Drawn, NoMatchups, OfMatchups, drawn
from fluxrecipes.training.points import Residuals
from fluxrecipes.training.report_errors import OfReports, ReportErrors

pytestmark = pytest.mark.filterwarnings("ignore:The data type")  # of the small store's names

FIRST, DAYS, ROWS, COLUMNS = "2014-01-01", 60, 16, 360
SHAPE = (DAYS, 2, ROWS, COLUMNS)
DIMS, PLAIN = ("time", "orbit", "lat", "lon"), ("time", "lat", "lon")
SST = "sea_surface_temperature"
F15, F17 = CODES["f15"], CODES["f17"]
LAT, LON = np.arange(-7.5, 8), np.arange(0.5, 360)
COORDS = {
    "time": np.datetime64(FIRST, "ns") + np.arange(DAYS).astype("m8[D]").astype("m8[ns]"),
    "lat": LAT,
    "lon": LON,
}
BUOYS = {
    b"A1": (0.3, 10.4),
    b"A2": (-5.2, 77.7),
    b"A3": (3.8, 150.5),
    b"A4": (-2.1, 222.2),
    b"A5": (6.4, 301.9),
    b"WHOTS": (-6.6, 340.1),
}
SMALL = {"width": 6, "levels": 2, "modes": [2, 3], "reduced": 4, "point": 24, "blocks": 1}
SECOND = {"steps": 6, "learning_rate": 2e-3, "warmup": 2, "every": 3, "average": 0.5, "threads": 1}


def truth() -> dict[str, np.ndarray]:
    day, orbit, row, column = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    phase = 2 * np.pi * ((column - 7.0 * (day + orbit / 2)) / 40 + row / 9)
    other = 2 * np.pi * ((column + 3.0 * day) / 60 - row / 7)
    wind, vapour = 8 + 3 * np.sin(phase), 30 + 12 * np.cos(other)
    sst = 298 + 2 * np.cos(np.pi * (row / 8 - 1)) + np.sin(2 * np.pi * column / 360)
    air, humidity = from_sea(sst, -1 + 0.2 * (wind - 8), 3.5e-3 - 1e-4 * (vapour - 30))
    return {
        "wind_speed": wind,
        "water_vapour": vapour,
        "cloud_liquid_water": 0.1 + 0.05 * np.cos(other),
        "rain_rate": np.zeros(SHAPE),
        "sea_surface_temperature": sst,
        "air_temperature": air,
        "specific_humidity": humidity,
    }


TRUTH = truth()
TIMES = (np.array([18.0, 6.0])[:, None, None] - LON / 15) % 24 + np.zeros(SHAPE)
LAND = np.zeros(SHAPE[2:], bool)
LAND[:3, 30:60] = True
GAP = np.zeros(SHAPE, bool)
GAP[:, :, :, 200:240] = True


def states(filled: int) -> np.ndarray:
    told = np.where(GAP, filled, cf.OBSERVED)
    return np.where(LAND, cf.LAND, told).astype("u1")


def there(values: np.ndarray, state: np.ndarray) -> np.ndarray:
    return np.where(state <= cf.LAST_VALID, values, np.nan).astype("f4")


def datasets() -> dict[str, xr.Dataset]:
    gappy, whole, complete = states(cf.NO_OBSERVATION), states(cf.INTERPOLATED), states(5)
    complete[complete == cf.OBSERVED] = cf.REANALYSIS
    satellite = np.where(gappy == cf.OBSERVED, F17, NO_SATELLITE)
    satellite[:20][satellite[:20] == F17] = F15
    merged = {"pass_time": np.where(gappy == cf.OBSERVED, TIMES, np.nan), "satellite": satellite}
    filled = {"wind_speed_state": whole, "water_vapour_state": whole}
    microwave = [v.name for v in cf.MICROWAVE]
    merged |= {name: there(TRUTH[name], gappy) for name in microwave}
    merged |= {f"{name}_state": gappy for name in microwave}
    filled |= {name: there(TRUTH[name], whole) for name in microwave}
    filled |= {f"{name}_state": whole for name in microwave}
    # A satellite's wind that is 1 m/s too weak, and fluxes that are 10 and 30 W/m² too small.
    passes = {name: there(TRUTH[name], whole) for name in TRUTH} | {"flux_state": whole}
    passes["wind_speed"] = there(TRUTH["wind_speed"] - 1.0, whole)
    passes |= {v.name: there(np.zeros(SHAPE), whole) for v in cf.FLUXES}
    fields = {name: there(values, complete) for name, values in TRUTH.items()}
    fields |= {"pass_time": there(TIMES, complete), "reanalysis_state": complete}
    sea = {SST: TRUTH[SST][:, 0], f"{SST}_state": states(cf.OBSERVED)[:, 0]}
    made = {
        "deepflux-sst": sea,
        "deepflux-merged": merged,
        "deepflux-filled": filled,
        "deepflux-passes": passes,
        "deepflux-reanalysis": fields,
    }
    return {
        name: xr.Dataset({n: (DIMS if v.ndim == 4 else PLAIN, v) for n, v in one.items()}, COORDS)
        for name, one in made.items()
    }


def month_of_reports(month: str) -> xr.Dataset:
    """Hourly reports of the buoys, of the air in their cells at that pass; noise of 0.1 K."""
    random = np.random.default_rng(4)
    days = [d for d in range(DAYS) if str(COORDS["time"][d])[:7] == month]
    rows = []
    for name, (latitude, longitude) in BUOYS.items():
        row, column = int(latitude + 8), int(longitude)
        for day in days:
            for orbit in (0, 1):
                hour = TIMES[day, orbit, row, column] + random.uniform(-0.4, 0.4)
                when = COORDS["time"][day] + np.timedelta64(int(hour * 3600), "s")
                here = {n: v[day, orbit, row, column] for n, v in TRUTH.items()}
                rows.append((name, when, latitude, longitude, here))
    size = len(rows)
    column_of = {
        "platform": np.array([r[0] for r in rows], "S16"),
        "time": np.array([r[1] for r in rows], "M8[ns]"),
        "latitude": np.array([r[2] for r in rows]),
        "longitude": np.array([r[3] for r in rows]),
        "air_temperature": [r[4]["air_temperature"] for r in rows]
        + 0.1 * random.standard_normal(size),
        "air_pressure": np.full(size, 101_300.0),
    }
    for name in ("wind_speed", "specific_humidity", "sea_surface_temperature"):
        column_of[name] = np.array([r[4][name] for r in rows])
    column_of |= {name: np.full(size, 10.0) for name in matching.HEIGHTS}
    codes = (
        "feed",
        "platform_kind",
        "report_status",
        "wind_method",
        "averaging",
        *(f"{n}_quality" for n in matching.JUDGED),
    )
    column_of |= {name: np.full(size, 2, "u1") for name in codes}
    return xr.Dataset({name: ("report", values) for name, values in column_of.items()})


def publish(store: Path, name: str, groups: dict[str | None, xr.Dataset], mark: Any) -> None:
    """As the engine does: a repository with a marked root and a version."""
    (store / name).mkdir(parents=True)
    (store / MARKER).write_text(json.dumps({"fluxforge-store": FORMAT}))
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(store / name)))
    session = repository.writable_session("main")
    for group, one in groups.items():
        chunks = {n: {"chunks": (15, *SHAPE[1:])} for n in one.data_vars if one[n].ndim == 4}
        one.to_zarr(session.store, group=group, encoding=chunks, consolidated=False, mode="a")
    root = zarr.open_group(session.store, mode="a")
    root.attrs["fluxforge"] = json.dumps({"format": FORMAT, "dataset": name} | mark)
    repository.create_tag("v1", session.commit("written"))
    repository.create_branch("work", repository.lookup_branch("main"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store: Path = tmp_path_factory.mktemp("shared") / "store"
    for name, one in datasets().items():
        publish(store, name, {None: one}, {})
    months = {month: month_of_reports(month) for month in ("2014-01", "2014-02")}
    publish(store, "insitu", dict(months), {"table": {}})
    return store


def train_yaml(folder: Path, store: Path, **changes: Any) -> Path:
    schedule = {**SECOND, "steps": 6}
    content = {
        "store": str(store),
        "train": {"first": "2014-01-01", "last": "2014-02-10"},
        "validation": [{"first": "2014-02-11", "last": "2014-03-01"}],
        "net": SMALL,
        "batch": 2,
        "stay": 2,
        "checks": 4,
        "schedule": schedule,
        "out": "weights/net.safetensors",
        "data": "waves",
        "sensor": "f17",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(content | changes))
    return path


def asked(folder: Path, store: Path, **changes: Any) -> retrieval.Retrieval:
    changes = {"cells": 50, "finetune": {"schedule": SECOND}} | changes
    return settings.load(train_yaml(folder, store, **changes), retrieval.Retrieval)


def untold(name: str, steps: int) -> Any:
    return lambda progress: None


def batches(source: OfMatchups, number: int = 12) -> list[Drawn]:
    rng = np.random.default_rng(0)
    return [one for span in source.spans for one in source.draw(span, number, rng)]


def source_of(given: retrieval.Retrieval, role: str = "train") -> tuple[OfMatchups, Matchups]:
    split = matched.found(given)
    part = split.train if role == "train" else split.validation
    known = np.ones(len(part), bool) if role == "train" else split.met
    read = retrieval.opened(given, "matchups")[role]
    doubt = given.errors.of_air
    return OfMatchups(read, networks.RETRIEVAL, part, retrieval.label, doubt, known), part


# --- matchups ------------------------------------------------------------------------------------


def test_matchups_of_a_store_are_one_for_each_buoy_and_pass(shared: Path, tmp_path: Path) -> None:
    place = asked(tmp_path, shared).place
    whole = by_month.of_store(place, date(2014, 1, 1), date(2014, 3, 31))
    assert whole is not None
    assert len(whole) == 2 * (DAYS - 1) * len(BUOYS)  # of March there are no reports
    assert set(whole.satellite[whole.day < np.datetime64("2014-01-21")]) == {F15}
    assert set(whole.satellite[whole.day > np.datetime64("2014-01-21")]) == {F17}
    in_gap = whole.platform == b"A4"
    assert set(whole.state[in_gap]) == {cf.INTERPOLATED}
    assert set(whole.state[~in_gap]) == {cf.OBSERVED}
    value = TRUTH["specific_humidity"][3, 1, 8, 10]
    one = (whole.platform == b"A1") & (whole.day == np.datetime64("2014-01-04"))
    assert whole.specific_humidity[one & (whole.orbit == 1)] == pytest.approx(value, rel=1e-5)


def test_withheld_platforms_never_appear_in_a_batch(shared: Path, tmp_path: Path) -> None:
    latitude = np.float32(LAT[int(BUOYS[b"WHOTS"][0] + 8)])
    for role in ("train", "validation"):
        source, part = source_of(asked(tmp_path, shared), role)
        assert b"WHOTS" not in part.platform
        assert all(latitude not in one.latitude for one in batches(source))
    open_to_all = asked(tmp_path / "b", shared, matchups={"withheld": [], "unseen": 0})
    source, part = source_of(open_to_all)
    assert b"WHOTS" in part.platform
    assert any(latitude in one.latitude for one in batches(source))


def test_matchups_near_withheld_moorings_can_be_left_out(
    shared: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(matching, "WITHHELD_PLACES", ((0.0, 10.0),))
    rules = {"unseen": 0, "apart": 500}
    assert b"A1" not in matched.found(asked(tmp_path, shared, matchups=rules)).train.platform
    rules["apart"] = 10
    assert b"A1" in matched.found(asked(tmp_path, shared, matchups=rules)).train.platform


def test_a_report_that_comes_again_under_another_number_teaches_once(
    shared: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    given = asked(tmp_path, shared, matchups={"unseen": 0})
    once, of_periods = matched.found(given), matched.of_periods

    def twice(*rules: Any) -> list[Matchups]:
        found = of_periods(*rules)
        names = np.array([b"WMO" + name for name in found[0].platform.tolist()], "S16")
        feeds = np.full(len(names), reports.ICOADS, np.uint8)
        return [*found, replace(found[0], platform=names, feed=feeds)]

    monkeypatch.setattr(matched, "of_periods", twice)
    again = matched.found(given)
    assert len(again.train) == len(once.train)
    assert set(again.train.platform) == set(once.train.platform)


def with_a_copy_of(withheld: bytes, name: bytes, feed: int) -> Any:
    """A month's reports, those of a mooring again under another number."""
    reports_of = by_month.reports_of

    def found(location: Any, month: str) -> xr.Dataset | None:
        whole = reports_of(location, month)
        if whole is None:
            return None
        copy = whole.isel(report=np.flatnonzero(whole["platform"].values == withheld))
        number = copy.sizes["report"]
        changed = {"platform": np.full(number, name, "S16"), "feed": np.full(number, feed, "u1")}
        copy = copy.assign({n: ("report", v) for n, v in changed.items()})
        return xr.concat([whole, copy], "report")

    return found


@pytest.mark.parametrize("feed", [reports.ICOADS, reports.OCEANSITES])
def test_a_withheld_mooring_teaches_under_no_other_number(
    shared: Path, tmp_path: Path, monkeypatch: Any, feed: int
) -> None:
    given = asked(tmp_path, shared, matchups={"unseen": 0})
    judged = of_baselines(tmp_path, shared, "2014-01-01", "2014-02-10")
    before = matched.found(given), reported(points.Inputs.opened(judged), judged)
    monkeypatch.setattr(by_month, "reports_of", with_a_copy_of(b"WHOTS", b"1700123", feed))
    whole = by_month.of_store(given.place, date(2014, 1, 1), date(2014, 2, 10))
    assert whole is not None and b"1700123" in whole.platform
    split, sample = matched.found(given), reported(points.Inputs.opened(judged), judged)
    for part, alone in zip(split[:2], before[0][:2], strict=True):
        assert set(part.platform) == set(BUOYS) - {b"WHOTS"} and len(part) == len(alone)
    np.testing.assert_array_equal(np.sort(sample.air[0]), np.sort(before[1].air[0]))


def test_sensors_passes_and_filled_cells_can_be_chosen(shared: Path, tmp_path: Path) -> None:
    train = matched.found(asked(tmp_path, shared, matchups={"unseen": 0})).train
    assert set(train.satellite) == {F15, F17} and set(train.orbit) == {0, 1}
    rules = {"unseen": 0, "sensors": ["f17"], "nominal": 0}
    some = matched.found(asked(tmp_path, shared, matchups=rules, orbit="descending")).train
    assert set(some.satellite) == {F17} and set(some.orbit) == {1}
    assert b"A4" not in some.platform and b"A4" in train.platform
    both = matched.found(asked(tmp_path, shared, matchups={"unseen": 0, "sensors": ["f15", "f17"]}))
    assert len(both.train) == len(train)


def test_platforms_and_periods_of_validation_are_not_trained_on(
    shared: Path, tmp_path: Path
) -> None:
    split = matched.found(asked(tmp_path, shared, matchups={"unseen": 0.5}))
    only = set(split.validation.platform[~split.met])
    assert only and not only & set(split.train.platform)
    assert set(split.validation.platform[split.met]) <= set(split.train.platform)
    assert split.train.day.max() <= np.datetime64("2014-02-10") < split.validation.day.min()


def test_what_checks_the_training_does_not_teach_under_another_number(
    shared: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Copies of all platforms, and a quarter of the owners' reports missing."""
    of_periods = matched.of_periods

    def twice(*rules: Any) -> list[Matchups]:
        whole = Matchups.joined(of_periods(*rules))
        names = np.array([b"WMO" + name for name in whole.platform.tolist()], "S16")
        copies = replace(whole, platform=names, feed=np.full(len(names), reports.ICOADS, "u1"))
        return [whole.at(np.arange(len(whole)) % 4 > 0), copies]

    monkeypatch.setattr(matched, "of_periods", twice)
    split = matched.found(asked(tmp_path, shared, matchups={"unseen": 0.4}))
    only = {name.removeprefix(b"WMO") for name in split.validation.platform[~split.met].tolist()}
    taught = {name.removeprefix(b"WMO") for name in split.train.platform.tolist()}
    assert only and taught and not only & taught


@pytest.mark.parametrize("name", ["F17", "f99"])
def test_a_misspelt_satellite_is_told(shared: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownName, match=f"no satellite '{name}'"):
        matched.found(asked(tmp_path, shared, matchups={"sensors": [name]}))


@pytest.mark.parametrize("modes", [[0, 3], [2, 0], [2, -1]])
def test_a_net_without_waves_is_refused(shared: Path, tmp_path: Path, modes: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"net\.modes.*greater than or equal to 1"):
        asked(tmp_path, shared, net={"modes": modes})


def test_odd_reports_are_left_out_by_limits_of_the_training_period(
    shared: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    of_store = by_month.of_store

    def with_an_odd_one(*places: Any, **options: Any) -> Matchups | None:
        found = of_store(*places, **options)
        assert found is not None
        air = found.air_temperature.copy()
        air[::100] += 15.0
        return replace(found, air_temperature=air)

    monkeypatch.setattr(by_month, "of_store", with_an_odd_one)
    monkeypatch.setattr(climatology, "_FEWEST", 10)
    split = matched.found(asked(tmp_path, shared, matchups={"unseen": 0}))
    for part in (split.train, split.validation):
        assert part.air_temperature.max() < 305.0 and len(part) > 50


def test_what_is_held_out_is_refused(shared: Path, tmp_path: Path) -> None:
    for verb in (retrieval.Retrieval, correction.Correction):
        for key in ("train", "validation"):
            period = {"first": "2017-12-01", "last": "2018-01-05"}
            with pytest.raises(HeldOut, match="2018"):
                settings.load(train_yaml(tmp_path, shared, **{key: period}), verb)


def test_no_matchups_are_told_before_anything_is_trained(shared: Path, tmp_path: Path) -> None:
    for rules in ({"sensors": ["f10"]}, {"withheld": [name.decode() for name in BUOYS]}):
        path = train_yaml(tmp_path, shared, finetune={"schedule": SECOND}, matchups=rules)
        with pytest.raises(NoMatchups) as told:
            retrieval.run(path, untold)
        assert told.value.code == "FF721" and "insitu" in told.value.mend
    assert not (tmp_path / "weights").exists()


def of_baselines(
    folder: Path, store: Path, first: str, last: str, **more: Any
) -> skill_settings.Validation:
    period = {"first": first, "last": last}
    content = {
        "store": str(store),
        "fit": period,
        "score": {"first": "2016-01-01", "last": "2016-01-01"},
        "truth": {"seed": 1},
        "retrieval": {"methods": ["mlp-reports"]},
    } | more
    (folder / "validate.yaml").write_text(yaml.safe_dump(content))
    return skill_settings.load(folder / "validate.yaml")


def test_baselines_learn_from_the_very_reports_of_a_net(shared: Path, tmp_path: Path) -> None:
    learned = matched.found(asked(tmp_path, shared)).train
    judged = of_baselines(tmp_path, shared, "2014-01-01", "2014-02-10")
    sample = reported(points.Inputs.opened(judged), judged)
    names = set(learned.platform.tolist())
    assert b"WHOTS" not in names and names < set(BUOYS)
    order = np.lexsort((learned.air_temperature, learned.day))
    mine = np.lexsort((sample.air[0], sample.day))
    np.testing.assert_array_equal(sample.day[mine], learned.day[order])
    np.testing.assert_array_equal(sample.air[0][mine], learned.air_temperature[order])
    np.testing.assert_array_equal(sample.air[1][mine], learned.specific_humidity[order])
    day = (learned.day - np.datetime64(FIRST)).astype(int)
    cells = day, learned.orbit, learned.row, learned.column
    inputs = sample.inputs[mine]
    for name in ("wind_speed", "water_vapour", SST):
        told = inputs[:, points.INPUTS.index(name)]
        np.testing.assert_allclose(told, TRUTH[name][cells][order], rtol=1e-6)
    place = np.sin(np.radians(LAT))[learned.row[order]]
    np.testing.assert_allclose(inputs[:, len(points.INPUTS)], place)


def test_a_net_is_scored_on_what_the_record_feeds_it(shared: Path, tmp_path: Path) -> None:
    """Where there is no value, whether it is a filled one is not known."""
    parts = points.Inputs.opened(of_baselines(tmp_path, shared, "2014-01-01", "2014-02-10"))
    day = parts.days[3]
    filled = parts.filled.read(np.array([day]))
    _, told = parts.of(day)
    for name in ("wind_speed", "water_vapour"):
        none = ~np.isfinite(filled.of(name)[0])
        assert none.any() and not none.all()
        np.testing.assert_array_equal(np.isnan(told[f"{name}_filled"]), none)


def test_baselines_of_reports_are_told_that_there_are_none(shared: Path, tmp_path: Path) -> None:
    judged = of_baselines(tmp_path, shared, "2014-03-01", "2014-03-01")
    with pytest.raises(NoMatchups, match="no report of the days of `fit`"):
        reported(points.Inputs.opened(judged), judged)


def test_the_verb_scores_what_learned_from_reports_beside_what_learned_from_the_truth(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = ["quadratic", "mlp", "mlp-reports"]
    of_baselines(
        tmp_path, shared, "2014-01-01", "2014-02-10",
        score={"first": "2014-02-20", "last": "2014-02-21"},
        retrieval={"methods": methods, "points": 200, "days": 3},
    )  # fmt: skip
    skill_command.validate(tmp_path / "validate.yaml", models=True, as_json=True)
    scores = json.loads(capsys.readouterr().out)["retrieval"]["scores"]
    warmth = {s["method"]: s for s in scores if s["variable"] == "air_temperature"}
    assert sorted(warmth) == sorted(methods)
    assert len({s["points"] for s in warmth.values()}) == 1
    # The store's air is not that of the simulated world: who learned of it errs by more there.
    errors = {method: s["rmse"] for method, s in warmth.items()}
    assert errors["mlp"] < errors["mlp-reports"]


# --- what the net is fed -------------------------------------------------------------------------


def test_a_batch_holds_the_cells_own_values_labels_and_place(shared: Path, tmp_path: Path) -> None:
    given = asked(tmp_path, shared, matchups={"unseen": 0})
    source, part = source_of(given)
    scene = retrieval.opened(given, "matchups")["train"].of(source.spans[0])
    day = 5
    some = part.at((part.day == scene.days[day]) & (part.orbit == 1))
    made = drawn(
        scene,
        networks.RETRIEVAL,
        1,
        day,
        1,
        (some.row, some.column),
        retrieval.label(scene, day, some),
    )
    at = (5, 1, some.row, some.column)
    for number, quantity in enumerate(networks.RETRIEVAL.predictors[:5]):
        value = made.points[:, 0, number] * quantity.scale + quantity.offset
        np.testing.assert_allclose(value, TRUTH[quantity.name][at], rtol=1e-5)
    np.testing.assert_allclose(made.points[:, 0, 5:7], [[0, 1]] * len(some), atol=2e-2)  # 6 h
    np.testing.assert_array_equal(made.points[:, 0, 7:], np.repeat(GAP[at], 2).reshape(-1, 2))
    assert GAP[at].any() and not GAP[at].all()
    np.testing.assert_allclose(made.latitude, LAT[some.row])
    np.testing.assert_allclose(made.longitude, LON[some.column])
    warmth, deficit = relative_to_sea(
        TRUTH["sea_surface_temperature"][at], some.air_temperature, some.specific_humidity
    )
    np.testing.assert_allclose(made.labels[:, 0], (warmth + 1.0) / 2.0, atol=1e-4)
    np.testing.assert_allclose(made.labels[:, 1], (deficit - 3.5e-3) / 2e-3, atol=1e-3)
    field = np.isfinite(made.field[:5])
    assert field[:, ~LAND].all() and not field[:, LAND].any()


def test_reports_of_ships_are_doubted_more_than_those_of_buoys(
    shared: Path, tmp_path: Path
) -> None:
    part = matched.found(asked(tmp_path, shared, matchups={"unseen": 0})).train
    some = replace(part, kind=np.where(np.arange(len(part)) % 2, reports.SHIP, reports.MOORED))
    ships = np.arange(len(part)) % 2 == 1
    given = ReportErrors(air_temperature=OfReports(ship=1.2, other=0.2))
    air, humidity = given.of_air(some).T
    np.testing.assert_array_equal(air, np.where(ships, 1.2, 0.2))
    saturated = saturation_specific_humidity(some.air_temperature, 101_300.0)
    np.testing.assert_allclose(humidity, np.where(ships, 0.07, 0.03) * saturated)
    for corrects, number in (("fluxes", 2), ("wind", 1)):
        path = train_yaml(tmp_path, shared, corrects=corrects)
        errors = settings.load(path, correction.Correction).doubt(some)
        assert errors.shape == (len(some), number)
        assert (np.median(errors[ships], axis=0) > 2 * np.median(errors[~ships], axis=0)).all()


def test_history_is_the_days_before_at_the_same_cell(shared: Path, tmp_path: Path) -> None:
    given = asked(tmp_path, shared, net=SMALL | {"history": 3})
    source, _ = source_of(given)
    scene = retrieval.opened(given, "matchups")["train"].of(source.spans[0])
    row, column = np.array([8]), np.array([10])
    label = np.array([[0.0, 1e-3]])
    made = drawn(scene, networks.RETRIEVAL, 3, 5, 0, (row, column), label)
    wind = TRUTH["wind_speed"][3:6, 0, 8, 10]
    np.testing.assert_allclose(made.points[0, :, 0], (wind - 7.5) / 4.0, rtol=1e-4)
    np.testing.assert_allclose(made.field[0, 8, 10], made.points[0, -1, 0])
    days = {int(d) for one in source.spans for d in (one.starts + 2)}
    assert min(days) == 2  # the first two days have no history


def test_labels_that_cannot_be_are_left_out(shared: Path, tmp_path: Path) -> None:
    given = asked(tmp_path, shared)
    scene = retrieval.opened(given, "matchups")["train"]
    span = scene.archive.spans[0]
    cells = np.array([8, 8, 8]), np.array([10, 11, 12])
    labels = np.array([[np.nan, 1e-3], [0.0, 1e-3], [99.0, 1e-3]])
    made = drawn(scene.of(span), networks.RETRIEVAL, 1, 5, 0, cells, labels)
    assert made.longitude.tolist() == [11.5]


def test_cells_of_the_reanalysis_are_sea_drawn_by_area_with_true_labels(
    shared: Path, tmp_path: Path
) -> None:
    given = asked(tmp_path, shared, cells=2000)
    parts = retrieval.opened(given, "reanalysis")
    torch.manual_seed(0)
    net = given.net.built(networks.RETRIEVAL, parts["train"])
    source = retrieval.pretraining(net, given, parts).train
    (made,) = source.draw(source.spans[0], 1, np.random.default_rng(1))
    row, column = (made.latitude + 8).astype(int), made.longitude.astype(int)
    assert len(row) == 2000 and not LAND[row, column].any()
    wind, vapour = (made.points[:, 0, i] * s + o for i, s, o in ((0, 4, 7.5), (1, 16, 28)))
    np.testing.assert_allclose(made.labels[:, 0], (0.2 * (wind - 8)) / 2, atol=1e-3)
    np.testing.assert_allclose(made.labels[:, 1], (-1e-4 * (vapour - 30)) / 2e-3, atol=2e-3)
    assert not made.points[:, 0, 7:].any()  # nothing of it is filled


def test_a_plain_zarr_store_serves_as_the_reanalysis(shared: Path, tmp_path: Path) -> None:
    plain = datasets()["deepflux-reanalysis"]
    chunks = {n: {"chunks": (1, *SHAPE[1:])} for n in plain.data_vars}
    plain.to_zarr(tmp_path / "fields.zarr", encoding=chunks, zarr_format=3)
    names = {"reanalysis": "fields.zarr"}
    given = asked(tmp_path, shared, datasets=names)
    read, stored = (
        retrieval.opened(one, "reanalysis")["train"] for one in (given, asked(tmp_path, shared))
    )
    scene, other = (one.of(one.archive.spans[0]) for one in (read, stored))
    assert len(scene.days) >= 10
    for name in scene.fields:
        both = len(scene.days)
        np.testing.assert_array_equal(scene.fields[name], other.fields[name][:both])
    assert str(tmp_path) not in json.dumps(given.configuration)
    with pytest.raises(ConfigError, match="no Zarr store"):
        retrieval.opened(asked(tmp_path, shared, datasets={"reanalysis": "no.zarr"}), "reanalysis")


# --- training ------------------------------------------------------------------------------------


def trained(path: Path, verb: Any = retrieval) -> tuple[list[float], Any]:
    losses: list[float] = []

    def watch(name: str, steps: int) -> Any:
        return lambda told: losses.append(told.loss)

    return losses, verb.run(path, watch)


def test_it_learns_a_linear_relation_and_knows_its_error(shared: Path, tmp_path: Path) -> None:
    schedule = {"learning_rate": 1e-2, "warmup": 5, "every": 40, "average": 0.9, "threads": 1}
    path = train_yaml(
        tmp_path,
        shared,
        cells=300,
        schedule={**schedule, "steps": 120},
        finetune={"schedule": {**schedule, "steps": 120, "learning_rate": 3e-3}},
        errors={"air_temperature": {"ship": 1.0, "other": 0.1}},
        matchups={"unseen": 0.5},
    )
    losses, made = trained(path)
    assert np.mean(losses[110:120]) < np.mean(losses[:10]) - 1.0
    skill = made.card.skill
    spread = np.std(TRUTH["wind_speed"]) * 0.2
    assert skill["reanalysis: RMSE air_minus_sea_temperature [K]"] < 0.3 * spread
    assert skill["reanalysis: RMSE humidity_deficit [kg kg-1]"] < 3e-4
    # Of platforms that it never met; the noise of the reports is 0.1 K.
    assert 0.05 < skill["matchups: RMSE air_minus_sea_temperature [K]"] < 0.25
    net, card = weights.load(made.path, architecture="MPFNet")
    assert card.vocabulary == networks.RETRIEVAL and card.orbit == "both"
    assert not net.training


def test_noise_of_labels_is_not_taken_for_the_nets_own(shared: Path, tmp_path: Path) -> None:
    """With the noise stated the net's own variance is small; without it, it is the noise."""
    told = {}
    for error in (0.0, 0.5):
        given = asked(tmp_path, shared, matchups={"unseen": 0})
        source, _ = source_of(given)
        random = np.random.default_rng(1)
        noisy = [
            doubted(replaced(one, random.standard_normal(one.labels.shape) * 0.25), error)
            for one in batches(source, 30)
        ]
        torch.manual_seed(0)
        net = given.net.built(networks.RETRIEVAL, retrieval.opened(given, "matchups")["train"])
        fixed = Fixed(noisy)
        task = retrieval.Task(
            net,
            networks.RETRIEVAL,
            fixed,
            fixed,
            batch=8,
            stay=1,
            checks=4,
            seed=1,
        )
        plan = {**SECOND, "steps": 150, "learning_rate": 1e-2, "every": 150, "average": 0.9}
        schedule = loop.Schedule.model_validate(plan)
        loop.train(task, schedule, tmp_path / str(error), {})
        with torch.inference_mode():
            one = noisy[3]
            field, points = torch.from_numpy(one.field)[None], torch.from_numpy(one.points)[None]
            place = (torch.from_numpy(x)[None] for x in (one.latitude, one.longitude))
            maps = net.encode(field, field.isfinite())
            read = net.read(maps, *place, points, points.isfinite())
        told[error] = float(read.log_variance[..., 0].exp().mean().sqrt()) * 2.0  # K
    assert 0.3 < told[0.0] < 0.8
    assert told[0.5] < 0.6 * told[0.0]


class Fixed:
    """Always the same passes."""

    def __init__(self, parts: list[Drawn]) -> None:
        self._parts = parts
        self.spans: Any = (None,)
        self.weights = np.ones(1)

    def draw(self, span: Any, number: int, rng: np.random.Generator) -> list[Drawn]:
        return [self._parts[i] for i in rng.choice(len(self._parts), number)]

    def release(self) -> None:
        """It reads nothing."""


def replaced(one: Drawn, noise: np.ndarray) -> Drawn:
    return one._replace(labels=(one.labels + noise).astype("f4"))


def doubted(one: Drawn, air: float, humidity: float | None = None) -> Drawn:
    """With these errors of all labels, K and kg kg-1; of the humidity, a thousandth in numbers."""
    given = (air, air * 1e-3 if humidity is None else humidity)
    scaled = [e / q.scale for e, q in zip(given, networks.RETRIEVAL.outputs, strict=True)]
    return one._replace(errors=np.full_like(one.labels, scaled))


def test_the_likelihood_is_the_gaussians_with_both_variances(shared: Path, tmp_path: Path) -> None:
    given = asked(tmp_path, shared, matchups={"unseen": 0})
    source, _ = source_of(given)
    torch.manual_seed(0)
    net = given.net.built(networks.RETRIEVAL, retrieval.opened(given, "matchups")["train"]).eval()
    parts = [doubted(one, 0.4, 8e-4) for one in batches(source, 2)[:2]]
    task = retrieval.Task(
        net,
        networks.RETRIEVAL,
        Fixed(parts),
        Fixed(parts),
        batch=2,
        stay=1,
        checks=2,
        seed=1,
    )
    total, count = 0.0, 0
    with torch.inference_mode():
        value = float(task.loss(0, Once()))
        for one in parts:
            field = torch.from_numpy(one.field)[None]
            points = torch.from_numpy(one.points)[None]
            place = (torch.from_numpy(x)[None] for x in (one.latitude, one.longitude))
            read = net.read(net.encode(field, field.isfinite()), *place, points, points.isfinite())
            variance = read.log_variance.exp() + torch.tensor([0.2, 0.4]).square()
            law = torch.distributions.Normal(read.mean, variance.sqrt())
            labels = torch.from_numpy(one.labels)[None]
            total -= float(law.log_prob(labels).sum())
            count += labels.numel()
    # The Gaussian's constant is left out.
    assert value == pytest.approx(total / count - 0.5 * np.log(2 * np.pi), rel=1e-4)


class Once(np.random.Generator):
    """Draws each thing once, in order."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def choice(self, number: int, size: int) -> np.ndarray:  # type: ignore[override]
        return np.arange(size)


def test_a_training_that_goes_on_ends_with_the_bytes_of_an_unbroken_one(
    shared: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    made = {}
    for name in ("whole", "cut"):
        path = train_yaml(
            tmp_path / name, shared, cells=40, finetune={"schedule": SECOND}, net=SMALL
        )
        if name == "cut":
            write, count = checkpoint.write, [0]

            def killed(*given: Any, write: Any = write, count: list[int] = count) -> None:
                write(*given)
                count[0] += 1
                if count[0] in (1, 3):
                    raise KeyboardInterrupt

            monkeypatch.setattr(checkpoint, "write", killed)
            for _ in range(2):
                with pytest.raises(KeyboardInterrupt):
                    retrieval.run(path, untold)
        made[name] = retrieval.run(path, untold).path.read_bytes()
    assert made["whole"] == made["cut"]


def test_one_run_of_days_is_held_at_a_time(shared: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """While scenes are read, and at the steps of the second phase."""
    made: list[scenes.Scenes] = []
    begin, load = scenes.Scenes.__init__, scenes.Scenes._load

    def held() -> int:
        return sum(one._held is not None for one in made)

    def begun(self: scenes.Scenes, *given: Any) -> None:
        begin(self, *given)
        made.append(self)

    def loaded(self: scenes.Scenes, span: Any) -> Any:
        assert held() == 0
        return load(self, span)

    monkeypatch.setattr(scenes.Scenes, "__init__", begun)
    monkeypatch.setattr(scenes.Scenes, "_load", loaded)
    at_steps: dict[str, list[int]] = {}

    def watch(name: str, steps: int) -> Any:
        return lambda told: at_steps.setdefault(name, []).append(held())

    path = train_yaml(tmp_path, shared, cells=20, finetune={"schedule": SECOND})
    retrieval.run(path, watch)
    assert len(made) == 4 and held() == 0
    first, second = at_steps.values()
    assert max(first) == max(second) == 1


def test_reports_that_changed_are_other_data_for_the_second_phase_alone(
    shared: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    path = train_yaml(tmp_path, shared, cells=20, finetune={"schedule": SECOND})
    retrieval.run(path, untold)
    of = settings.content_of
    monkeypatch.setattr(
        settings, "content_of", lambda store, name: of(store, name) + ("'" * (name == "insitu"))
    )
    with pytest.raises(checkpoint.OtherTraining, match=r"matchups/.* content: insitu"):
        retrieval.run(path, untold)


def test_a_window_of_more_days_than_are_held_is_told_with_what_to_set(
    shared: Path, tmp_path: Path
) -> None:
    path = train_yaml(tmp_path, shared, net=SMALL | {"history": 31})
    with pytest.raises(ConfigError, match=r"31 days are needed together, and 2 x 15") as told:
        retrieval.run(path, untold)
    assert "Set `blocks` to 3" in told.value.mend
    given = asked(tmp_path, shared)
    read = scenes.reanalysis(given.place, "deepflux-reanalysis", given.train, 31, 3).archive
    assert sum(len(span.starts) for span in read.spans) == 41 - 30


def test_a_grid_that_does_not_go_around_the_globe_is_refused(tmp_path: Path) -> None:
    half = datasets()["deepflux-reanalysis"].isel(lon=slice(0, 180))
    publish(tmp_path / "store", "deepflux-reanalysis", {None: half}, {})
    with pytest.raises(ConfigError, match="whole globe, and its longitudes make 180 degrees"):
        retrieval.run(train_yaml(tmp_path, tmp_path / "store"), untold)


@pytest.mark.parametrize("corrects", ["fluxes", "wind"])
def test_a_correction_is_refused_when_its_passes_changed(
    shared: Path, tmp_path: Path, monkeypatch: Any, corrects: str
) -> None:
    path = train_yaml(tmp_path, shared, corrects=corrects, matchups={"unseen": 0})
    made = correction.run(path, untold)
    assert made.card.commit
    monkeypatch.setattr(settings, "content_of", lambda store, name: "another")
    with pytest.raises(checkpoint.OtherTraining, match="content: deepflux-filled"):
        correction.run(path, untold)


def test_another_phase_does_not_undo_the_first(shared: Path, tmp_path: Path) -> None:
    second = {"schedule": SECOND}
    one = asked(tmp_path, shared, finetune=second)
    other = asked(
        tmp_path,
        shared,
        finetune=second,
        errors={"air_temperature": {"ship": 1.0, "other": 0.2}},
        matchups={"unseen": 0.1},
    )
    assert one.configuration_of("reanalysis") == other.configuration_of("reanalysis")
    assert one.configuration_of("matchups") != other.configuration_of("matchups")


# --- standard errors -----------------------------------------------------------------------------


LATE = {
    "train": {"first": "2014-01-01", "last": "2014-01-10"},
    "validation": {"first": "2014-01-11", "last": "2014-03-01"},
}  # the validation is of several spans, which overlap


@pytest.mark.parametrize("periods", [{}, LATE])
def test_residuals_are_those_of_each_matchup_of_the_validation(
    shared: Path, tmp_path: Path, periods: dict[str, Any]
) -> None:
    """Of a net that says 0 with an error of 1: then they are the labels, with the sign changed."""
    given = asked(tmp_path, shared, matchups={"unseen": 0.5}, **periods)
    split, parts = matched.found(given), retrieval.opened(given, "matchups")
    net = given.net.built(networks.RETRIEVAL, parts["train"]).eval()
    torch.nn.init.zeros_(net.head.weight)
    torch.nn.init.zeros_(net.head.bias)
    second = retrieval.Finetune.model_validate({"schedule": SECOND, "batch": 3})
    found = retrieval.finetuning(net, given, second, parts, split).residuals()
    some = split.validation
    assert len(found.known) == len(some) > 100
    np.testing.assert_array_equal(found.own, 1.0)
    passage = 2 * some.day.astype("M8[D]").astype(int) + some.orbit
    order, theirs = (
        np.lexsort((one, two))
        for one, two in ((some.platform, passage), (found.platform, found.passage))
    )
    np.testing.assert_array_equal(found.passage[theirs], passage[order])
    np.testing.assert_array_equal(found.platform[theirs], some.platform[order])
    np.testing.assert_array_equal(found.known[theirs], split.met[order])
    scales = [quantity.scale for quantity in networks.RETRIEVAL.outputs]
    np.testing.assert_allclose(
        found.report[theirs], (given.errors.of_air(some) / scales)[order], 1e-5
    )
    np.testing.assert_allclose(found.latitude[theirs], some.latitude[order])
    np.testing.assert_allclose(found.longitude[theirs], some.longitude[order])
    days = (some.day - np.datetime64(FIRST)).astype(int)
    sst = TRUTH["sea_surface_temperature"][days, some.orbit, some.row, some.column]
    warmth = (some.air_temperature - sst + 1.0) / 2.0
    np.testing.assert_allclose(found.error[theirs, 0], -warmth[order], atol=2e-4)


def test_the_same_cells_of_a_reanalysis_are_followed_through_every_pass(
    shared: Path, tmp_path: Path
) -> None:
    given = asked(tmp_path, shared, **LATE)
    parts = retrieval.opened(given, "reanalysis")
    net = given.net.built(networks.RETRIEVAL, parts["train"]).eval()
    found = retrieval.pretraining(net, given, parts).residuals()
    cells, passages = np.unique(found.platform), np.unique(found.passage)
    assert 300 < len(cells) <= 400 and len(passages) == 2 * 50
    assert len(found.known) == len(cells) * len(passages)  # each once
    of_one = found.platform == cells[7]
    assert len(set(found.latitude[of_one])) == len(set(found.longitude[of_one])) == 1
    assert not found.report.any()


class Told:
    """A task of which only what it finds on the validation is asked."""

    vocabulary = networks.RETRIEVAL
    validation = OfMatchups

    def __init__(self, found: Residuals) -> None:
        self._found = found

    def residuals(self) -> Residuals:
        return self._found


def drawn_residuals(platforms: int = 40, days: int = 60, known: int = 0) -> Residuals:
    """Own errors told 1.5 times too small and 2 times too large; a share of 0.3 lasts in each."""
    rng = np.random.default_rng(2)
    platform, passage = np.indices((platforms, 2 * days)).reshape(2, -1)
    lasting = rng.standard_normal((platforms, 2))
    lasting /= np.sqrt(np.mean(lasting**2, axis=0))
    own = rng.uniform(0.2, 0.4, (platform.size, 2))
    random = rng.standard_normal((platform.size, 2))
    error = own * [1.5, 0.5] * (np.sqrt(0.3) * lasting[platform] + np.sqrt(0.7) * random)
    report = np.full(error.shape, [0.3, 0.1])
    return Residuals(
        error + report * rng.standard_normal(error.shape),
        own,
        report,
        platform < known,
        np.char.add(b"B", platform.astype("S4")),
        40_000 + passage,
        rng.uniform(-20, 20, platforms)[platform],
        rng.uniform(150, 200, platforms)[platform],
    )


def test_factors_and_structure_are_found_of_each_output() -> None:
    found = calibrated(Told(drawn_residuals()))  # type: ignore[arg-type]
    air, humidity = (found[quantity.name] for quantity in networks.RETRIEVAL.outputs)
    assert air.factor == pytest.approx(1.5, rel=0.06)
    assert humidity.factor == pytest.approx(0.5, rel=0.06)
    for model in (air, humidity):
        assert model.systematic == pytest.approx(0.3, abs=0.06)
        assert model.days is not None and model.days < 0.25
        assert model.found == (
            "calibrated on 4800 matchups at 40 platforms that training did not see"
        )
    seen = calibrated(Told(drawn_residuals(known=40)))  # type: ignore[arg-type]
    assert seen["humidity_deficit"].found.endswith("platforms, on days that training did not see")


def test_platforms_that_training_saw_do_not_count_where_there_are_others() -> None:
    whole = drawn_residuals(known=20)
    spoilt = whole._replace(error=np.where(whole.known[:, None], 50.0, whole.error))
    model = calibrated(Told(spoilt))["air_minus_sea_temperature"]  # type: ignore[arg-type]
    assert model.factor == pytest.approx(1.5, rel=0.08)
    assert model.found.startswith("calibrated on 2400 matchups at 20 platforms that training did")


def test_too_few_matchups_or_platforms_calibrate_nothing() -> None:
    for few in (drawn_residuals(platforms=30, days=4), drawn_residuals(platforms=4)):
        made = calibrated(Told(few))  # type: ignore[arg-type]
        for model in made.values():
            assert model.factor == 1.0 and model.systematic is None and model.days is None
            assert model.found.startswith("not calibrated, for there are only")
    short = calibrated(Told(drawn_residuals(days=8)))["humidity_deficit"]  # type: ignore[arg-type]
    assert short.factor == pytest.approx(0.5, rel=0.2) and short.systematic is None
    assert "too few pairs" in short.found


def test_a_factor_that_is_not_believed_is_held_and_leaves_the_structure_unknown() -> None:
    whole = drawn_residuals()
    model = calibrated(Told(whole._replace(own=whole.own / 10)))  # type: ignore[arg-type]
    air = model["air_minus_sea_temperature"]
    assert air.factor == pytest.approx(3.0) and air.systematic is None
    assert "held at 3" in air.found


def test_a_training_calibrates_its_last_phase(
    shared: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """On cells of the reanalysis; or on matchups, as far as there are any."""
    card = retrieval.run(train_yaml(tmp_path, shared, cells=20), untold).card
    assert set(card.errors) == {quantity.name for quantity in networks.RETRIEVAL.outputs}
    for model in card.errors.values():
        assert "values of the reanalysis at" in model.found
        assert model.factor != 1.0
    second = {"cells": 20, "finetune": {"schedule": SECOND}, "matchups": {"unseen": 0.5}}
    made = retrieval.run(train_yaml(tmp_path / "b", shared, **second), untold)
    assert {model.factor for model in made.card.errors.values()} == {1.0}
    assert all("only" in model.found for model in made.card.errors.values())
    monkeypatch.setattr(calibration, "FEWEST", 20)
    monkeypatch.setattr(calibration, "FEWEST_PLATFORMS", 1)
    path = train_yaml(tmp_path / "c", shared, **second)
    made = retrieval.run(path, untold)
    assert all("matchups at" in model.found for model in made.card.errors.values())
    assert 1.0 not in {model.factor for model in made.card.errors.values()}
    assert weights.load(made.path).card.errors == made.card.errors


# --- correction ----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["fluxes", "wind"])
def test_a_correction_learns_what_the_passes_lack(shared: Path, tmp_path: Path, what: str) -> None:
    given = settings.load(
        train_yaml(tmp_path, shared, corrects=what, matchups={"unseen": 0}), correction.Correction
    )
    names = given.datasets.model_dump()
    read = scenes.fluxes(given.place, names, given.train, 1, 2)
    part = matched.found(given).train
    scene = read.of(read.archive.spans[0])
    some = part.at((part.day == scene.days[5]) & (part.orbit == 0))
    labels = given.label(scene, 5, some)
    if what == "fluxes":  # those of the passes are 0
        expected = np.stack([some.sensible_heat_flux, some.latent_heat_flux], axis=1)
    else:
        wind = TRUTH["wind_speed"][5, 0, some.row, some.column] - 1.0
        expected = (some.neutral_wind - wind)[:, None]
        assert 0.7 < labels.mean() < 1.5
    np.testing.assert_allclose(labels, expected, rtol=1e-5, atol=1e-5)
    for quantity in given.vocabulary.predictors:
        assert np.isfinite(scene.fields[quantity.name][5, 0][~LAND]).all()


def test_of_corrected_passes_the_fluxes_before_the_correction_are_taken(tmp_path: Path) -> None:
    made = datasets()
    for variable in cf.FLUXES:
        bulk = made["deepflux-passes"][variable.name] + 50.0
        made["deepflux-passes"][f"{variable.name}_bulk"] = bulk
    for name in ("deepflux-merged", "deepflux-filled", "deepflux-passes"):
        publish(tmp_path / "store", name, {None: made[name]}, {})
    given = settings.load(train_yaml(tmp_path, tmp_path / "store"), correction.Correction)
    read = scenes.fluxes(given.place, given.datasets.model_dump(), given.train, 1, 2)
    scene = read.of(read.archive.spans[0])
    assert set(scene.fields["latent_heat_flux"][5, 0][~LAND]) == {50.0}


def test_the_winds_correction_is_learned(shared: Path, tmp_path: Path) -> None:
    schedule = {"learning_rate": 1e-2, "warmup": 5, "every": 40, "average": 0.9, "threads": 1}
    path = train_yaml(
        tmp_path,
        shared,
        corrects="wind",
        batch=8,
        matchups={"unseen": 0},
        schedule={**schedule, "steps": 80},
    )
    losses, made = trained(path, correction)
    assert np.mean(losses[-10:]) < np.mean(losses[:5]) - 0.1
    assert made.card.skill["RMSE wind_speed_correction [m s-1]"] < 0.25
    assert weights.load(made.path).card.vocabulary == networks.WIND_CORRECTION


def test_the_verb_trains_each_network(shared: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(command.train)
    path = train_yaml(tmp_path, shared, cells=20)
    ran = CliRunner().invoke(app, ["mpfnet", "-c", str(path)])
    assert ran.exit_code == 0, ran.output
    assert "Standard errors of the network" in ran.output
    assert "calibrated on" in ran.output and "values of the reanalysis" in ran.output
    path = train_yaml(tmp_path / "c", shared, matchups={"unseen": 0})
    ran = CliRunner().invoke(app, ["correction", "-c", str(path)])
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "c/weights/net.safetensors").exists()
