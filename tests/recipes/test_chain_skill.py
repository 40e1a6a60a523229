"""Scores of the record's stages one after another, on a small sea whose truth is known."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from fluxengine.errors import ConfigError
from fluxkernels.bulk import bulk_flux
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.constellation import CODES, NO_SATELLITE
from fluxrecipes.matchups import by_month
from fluxrecipes.nature import World, instruments
from fluxrecipes.nature.fields import hours_since_epoch
from fluxrecipes.nature.orbits import SATELLITES
from fluxrecipes.products.deepflux import Options, Weights
from fluxrecipes.skill import chain_points, chain_scores, fields, protocol, report, settings
from fluxrecipes.skill.chain import (
    BULK,
    ERRORS,
    SCORED,
    SST,
    TRUE,
    WHOLE,
    Chain,
    arrays_of,
    chains_of,
    with_truth,
)
from fluxrecipes.skill.chain_sample import COLUMNS, IDEAL, Sample
from fluxrecipes.skill.fields import VARIABLES, Passes
from fluxrecipes.skill.points import OCEAN, PLACES, SEEN, UNSEEN
from fluxrecipes.skill.scores import Points, sums
from fluxrecipes.skill.truth import AIR, FLUXES, WIND_ERROR, Simulated
from fluxrecipes.sources.reports import ICOADS, OCEANSITES

LAT, LON = np.arange(-7.5, 8.0), np.arange(0.5, 360.0)
SEED, F17 = 5, CODES["f17"]
PLAIN = "fill: interpolation, retrieve: regression, correct: none"
CHAIN = f"options: {{{PLAIN}}}"


def chosen(**changes: Any) -> Options:
    """Baselines, but for some."""
    plain = {"fill": "interpolation", "retrieve": "regression", "correct": "none"}
    return Options(**(plain | changes))


BASELINES = chosen()

DAYS = np.arange("2016-01-01", "2016-01-10", dtype="datetime64[D]")
SHAPE = (DAYS.size, 2, LAT.size, LON.size)
WIND, VAPOUR, CLOUD, RAIN = VARIABLES
SHF, LHF = FLUXES
DIMS = ("time", "orbit", "lat", "lon")
DAY = 4  # of those that are looked at one by one

FILE = """\
store: passes.zarr
score: {first: 2016-01-04, last: 2016-01-07}
every: 2
truth: {seed: 5}
"""


@pytest.fixture(scope="module")
def sea() -> tuple[Passes, dict[str, np.ndarray]]:
    """Passes without gaps, at 18 and 6 h local time, and the truth of them."""
    local = np.array([18.0, 6.0])[:, None, None] - LON / 15.0
    hours = np.broadcast_to(np.mod(local, 24.0), SHAPE).astype(np.float32)
    blank = Passes(DAYS, LAT, LON, {}, {}, hours)
    everywhere, by = np.ones(SHAPE, bool), np.full(SHAPE, F17, np.uint8)
    names = (*TRUE, WIND_ERROR)
    truth = Simulated(SEED).at(blank, tuple(range(DAYS.size)), everywhere, names, by)
    return blank, truth


@pytest.fixture(scope="module")
def folder(sea, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a satellite made of it, as a plain Zarr, and a validate.yaml beside it."""
    blank, truth = sea
    rng = np.random.default_rng(3)
    there = np.isfinite(truth[WIND])
    swath = np.zeros(SHAPE, bool)
    for at in np.ndindex(SHAPE[:2]):
        swath[at][:, np.arange(60) + int(rng.integers(300))] = True
    stored = {}
    for name in VARIABLES:
        error = truth[WIND_ERROR] + 0.3 * rng.normal(size=SHAPE) if name == WIND else 0.0
        state = np.where(there, cf.OBSERVED, cf.LAND).astype(np.uint8)
        state[there & swath] = cf.NO_OBSERVATION
        if name == WIND:
            state[there & ~swath & (truth[RAIN] > 0.5)] = cf.NO_RETRIEVAL
        values = np.where(state == cf.OBSERVED, np.maximum(truth[name] + error, 0.0), np.nan)
        stored |= {name: values.astype("f4"), f"{name}_state": state}
    stored["pass_time"] = np.where(swath, np.nan, blank.hours).astype("f4")
    stored["satellite"] = np.where(swath, NO_SATELLITE, F17).astype(np.uint8)
    stored[SST] = (truth[SST] + 0.2 * rng.normal(size=SHAPE)).astype("f4")
    stored[f"{SST}_state"] = np.where(there, cf.OBSERVED, cf.LAND).astype(np.uint8)
    coords = {"time": DAYS.astype("datetime64[ns]"), "lat": LAT, "lon": LON}
    made = xr.Dataset({n: (DIMS, v) for n, v in stored.items()}, coords)
    base = tmp_path_factory.mktemp("chain")
    made.to_zarr(base / "passes.zarr", consolidated=False)
    (base / "validate.yaml").write_text(FILE + f"chain: {{{CHAIN}}}\n")
    return base


@pytest.fixture(scope="module")
def arrays(folder: Path) -> dict[str, xr.DataArray]:
    source = chain_points.Source.opened(settings.load(folder / "validate.yaml"))
    return dict(arrays_of(fields.read(source.passes, DAYS), source.warmth))


def asked(folder: Path, tmp_path: Path, more: str, file: str = FILE) -> settings.Validation:
    text = file.replace("passes.zarr", str(folder / "passes.zarr")) + more
    (tmp_path / "v.yaml").write_text(text)
    return settings.load(tmp_path / "v.yaml")


def of_day(truth: dict[str, np.ndarray], day: int = DAY) -> dict[str, np.ndarray]:
    return {name: values[day : day + 1] for name, values in truth.items()}


def rmse(maps: dict, truth: dict, name: str, where: np.ndarray | None = None) -> float:
    error = maps[name] - truth[name][DAY]
    error = error if where is None else error[where]
    return float(np.sqrt(np.nanmean(error**2)))


# --- the truth -----------------------------------------------------------------------------------


def test_the_conditional_wind_error_is_that_of_the_cells_own_satellite(sea) -> None:
    blank, _ = sea
    where = np.zeros((1, 2, LAT.size, LON.size), bool)
    where[0, 1, 3, 200:203] = True
    by = np.zeros(where.shape, np.uint8)
    by[0, 1, 3, 200:203] = F17, CODES["f13"], NO_SATELLITE
    found = Simulated(SEED).at(blank, (DAY,), where, (WIND_ERROR,), by)[WIND_ERROR][0, 1, 3]
    row, seen = int(LAT[3] + 89.5), blank.hours[DAY, 1, 3, 200:202].astype(float)
    hours = hours_since_epoch(DAYS[DAY]) + seen
    world = World(SEED)
    state = world.within(np.full(2, row), np.array([200, 201]), hours)
    for at, name in ((0, "f17"), (1, "f13")):
        character = instruments.Character.of(world, SATELLITES[name].instrument.prefix)
        bias = instruments.wind_bias(state, character).reshape(2, 4)[at].mean(dtype="f8")
        assert found[200 + at] == pytest.approx(bias, rel=1e-6)
    assert np.isnan(found[202]) and found[200] != found[201]


def test_true_fluxes_are_those_of_the_worlds_own_wind_and_pressure() -> None:
    column, hour = 180, 15
    hours = np.full((1, *SHAPE[1:]), hour, np.float32)
    where = np.zeros(hours.shape, bool)
    where[0, 0, :, column] = True
    passes = Passes(DAYS[:1], LAT, LON, {}, {}, hours)
    found = Simulated(SEED).at(passes, (0,), where, FLUXES)
    surface = World(SEED).surface(DAYS[0] + np.timedelta64(hour, "h"), (-8.0, 8.0))
    of = {name: values.values for name, values in surface.isel(lon=column).items()}
    names = ("wind_speed", SST, *AIR)
    made = bulk_flux(*(of[n] for n in names), pressure=of["surface_pressure"], latitude=LAT)
    np.testing.assert_allclose(found[LHF][0, 0, :, column], made.latent, rtol=1e-5)
    np.testing.assert_allclose(found[SHF][0, 0, :, column], made.sensible, rtol=1e-4, atol=1e-3)
    assert np.isfinite(made.latent).sum() > 10


# --- one day of a chain --------------------------------------------------------------------------


def test_only_wanted_days_are_filled_and_as_if_all_were(arrays, gdcm_file) -> None:
    by_network = chosen(
        fill="gdcm-compact", sensors=("f17",), weights=Weights(fill=gdcm_file(6, 0))
    )
    for options in (BASELINES, by_network):
        chain = Chain.of(options)
        every = chain.fill(arrays, range(DAYS.size))
        few = chain.fill(arrays, [2, 7])
        for name in chain.stages[0].inputs:
            np.testing.assert_array_equal(few[name].values, every[name].values[[2, 7]])
        state = few[f"{WIND}_state"].values
        assert ((state > cf.OBSERVED) & (state <= cf.LAST_VALID)).sum() > 1000


def test_a_chain_fed_with_truth_has_no_error_but_the_algorithms(arrays, sea) -> None:
    truth = sea[1]
    chain = Chain.of(BASELINES)
    filled = chain.fill(arrays, [DAY])
    found = chain.variants(filled, of_day(truth))
    for name in AIR:
        assert rmse(found["all true"], truth, name) < 1e-4 * np.nanmean(truth[name])
    spread = np.nanstd(truth[LHF])
    assert rmse(found["all true"], truth, LHF) < 0.1 * spread  # pressure, and neutral wind
    assert rmse(found["true inputs"], truth, LHF) > 2 * rmse(found["all true"], truth, LHF)


def test_truth_goes_where_it_is_said_and_counts_as_observed(arrays, sea) -> None:
    truth = sea[1]
    filled = Chain.of(BASELINES).fill(arrays, [DAY])
    before, state = filled[WIND].values, filled[f"{WIND}_state"].values
    gaps = (state > cf.OBSERVED) & (state <= cf.LAST_VALID)
    seen = state == cf.OBSERVED
    for where, chosen in (("gaps", gaps), ("observed", seen), ("everywhere", gaps | seen)):
        made = with_truth(filled, of_day(truth), (WIND,), where)
        np.testing.assert_array_equal(made[WIND].values[~chosen], before[~chosen])
        expected = truth[WIND][DAY : DAY + 1][chosen]
        np.testing.assert_allclose(made[WIND].values[chosen], expected, rtol=1e-6)
        assert (made[f"{WIND}_state"].values[chosen] == cf.OBSERVED).all()
        assert made[VAPOUR] is filled[VAPOUR]
    np.testing.assert_array_equal(filled[WIND].values, before)  # what was given stays
    unknown = {WIND: np.full_like(before, np.nan)}
    assert np.array_equal(
        with_truth(filled, unknown, (WIND,), "everywhere")[WIND].values, before, equal_nan=True
    )


def test_the_budgets_variants_stand_in_their_order(arrays, sea) -> None:
    """The regression knows one cell at a time: truth in gaps mends no observed cell."""
    truth = sea[1]
    chain = Chain.of(BASELINES)
    filled = chain.fill(arrays, [DAY])
    whole, found = chain.finish(filled), chain.variants(filled, of_day(truth))
    state = arrays[f"{WIND}_state"].values[DAY]
    seen = (state == cf.OBSERVED) & (arrays[f"{VAPOUR}_state"].values[DAY] == cf.OBSERVED)
    gap = ~seen & np.isfinite(whole[LHF])
    for name in SCORED:
        same, mended = found["true in gaps"][name], found["true where observed"][name]
        np.testing.assert_array_equal(same[seen], whole[name][seen])
        rain_alone = state == cf.NO_RETRIEVAL  # wind was filled, vapour seen
        np.testing.assert_array_equal(mended[gap & ~rain_alone], whole[name][gap & ~rain_alone])
    errors = {what: rmse(maps, truth, LHF, seen | gap) for what, maps in found.items()}
    assert rmse(found["true in gaps"], truth, LHF, gap) < 0.9 * rmse(whole, truth, LHF, gap)
    assert rmse(found["true where observed"], truth, LHF, seen) < rmse(whole, truth, LHF, seen)
    assert errors["all true"] < errors["true inputs"] < rmse(whole, truth, LHF, seen | gap)
    assert errors["all true"] < errors["true air"]


def test_with_the_wind_true_nothing_is_corrected(arrays, sea, mpfnet_file) -> None:
    truth = sea[1]
    for correct, vocabulary in (
        ("mpfnet", networks.CORRECTION),
        ("wind", networks.WIND_CORRECTION),
    ):
        weights = mpfnet_file(vocabulary, north=8, south=-8)
        options = chosen(correct=correct, sensors=("f17",), weights=Weights(correct=weights))
        chain, plain = Chain.of(options), Chain.of(BASELINES)
        assert chain.corrects and not plain.corrects
        filled = chain.fill(arrays, [DAY])
        whole, bare = chain.finish(filled), plain.finish(filled)
        for flux in FLUXES:
            np.testing.assert_array_equal(whole[BULK[flux]], bare[flux])
            assert np.nanmax(np.abs(whole[flux] - bare[flux])) > 1.0
        ours, theirs = (one.variants(filled, of_day(truth)) for one in (chain, plain))
        for what in ("true wind", "true inputs", "all true"):
            np.testing.assert_array_equal(ours[what][LHF], theirs[what][LHF])
        assert not np.array_equal(ours["true SST"][LHF], theirs["true SST"][LHF], equal_nan=True)


def test_the_ideal_flux_lacks_the_conditional_error_alone(arrays, sea) -> None:
    truth = sea[1]
    chain = Chain.of(BASELINES)
    filled = chain.fill(arrays, [DAY])
    whole = chain.finish(filled)
    ideal = chain.without(truth[WIND_ERROR][DAY], filled, whole)
    wind = filled[WIND].values - truth[WIND_ERROR][DAY : DAY + 1]
    again = dict(filled) | {WIND: filled[WIND].copy(data=np.maximum(wind, 0.0))}
    air = {name: whole[name][None] for name in AIR}
    np.testing.assert_array_equal(chain.finish(again, air)[LHF], ideal[LHF])
    none = chain.without(np.zeros_like(truth[WIND_ERROR][DAY]), filled, whole)
    np.testing.assert_array_equal(none[LHF], whole[LHF])


def test_days_before_are_handed_to_who_looks_at_them(arrays, mpfnet_file) -> None:
    weights = mpfnet_file(networks.RETRIEVAL, history=2, north=8, south=-8)
    options = chosen(retrieve="mpfnet", sensors=("f17",), weights=Weights(retrieve=weights))
    chain = Chain.of(options)
    assert chain.history == 1 and chain.margin == 4  # and three of the interpolation
    both, alone = chain.fill(arrays, [DAY - 1, DAY]), chain.fill(arrays, [DAY])
    two, one = chain.finish(both)[AIR[0]], chain.finish(alone)[AIR[0]]
    assert np.isfinite(two).sum() == np.isfinite(one).sum() > 1000
    assert not np.array_equal(two, one, equal_nan=True)


def test_a_day_is_gathered_with_the_days_before_it(
    folder: Path, tmp_path: Path, arrays, sea, mpfnet_file
) -> None:
    weights = mpfnet_file(networks.RETRIEVAL, history=2, north=8, south=-8)
    retrieve = (
        "fill: interpolation, correct: none, retrieve: mpfnet, sensors: [f17],"
        f" weights: {{retrieve: {weights}}}"
    )
    of = asked(folder, tmp_path, f"chain: {{options: {{{retrieve}}}, also: [{{{PLAIN}}}]}}\n")
    outcome = chain_points.gathered(of, fields.Run(DAYS[0], DAYS[-1], (DAY,)))
    truth = {name: values[DAY - 1 : DAY + 1].astype("f4") for name, values in sea[1].items()}
    by_chain = {}
    for chain in chains_of(of.chain.all):
        days = slice(1 - chain.history, None)
        filled = chain.fill(arrays, [DAY - 1, DAY][days])
        found = chain.variants(filled, {name: values[days] for name, values in truth.items()})
        by_chain[chain.name] = {WHOLE: chain.finish(filled)} | found
    maps = [maps for by in by_chain.values() for maps in by.values()]
    every = [one[name] for one in (*maps, {n: v[-1] for n, v in truth.items()}) for name in SCORED]
    usable = np.isfinite(np.stack(every)).all(axis=0)
    area = np.broadcast_to(np.cos(np.radians(LAT))[:, None], usable.shape)[usable]
    for name, by in by_chain.items():
        for what, made in by.items():
            summed = outcome.budgets[name][AIR[0], "all", what][DAYS[DAY]]
            assert summed.points == usable.sum() > 1000
            assert summed.x == pytest.approx(float(area @ made[AIR[0]][usable]), rel=1e-9)
    (cells,) = outcome.cells
    own = by_chain[next(iter(by_chain))]
    assert np.isin(cells.chains[next(iter(by_chain))][LHF], own[WHOLE][LHF]).all()


# --- scores of samples ---------------------------------------------------------------------------


def sample(number: int = 6000, seed: int = 0, **changes: object) -> Sample:
    """A chain with errors of a known size beside a truth; `changes` of the sample."""
    rng = np.random.default_rng(seed)
    truth = {name: 100.0 + 20.0 * rng.normal(size=number) for name in SCORED}
    error = rng.uniform(2.0, 4.0, number)
    given = {name: np.full(number, np.nan) for name in COLUMNS}
    for name in SCORED:
        given[name] = truth[name] + error * rng.normal(size=number)
        given[ERRORS[name]] = error
    made = Sample(
        np.full(number, np.datetime64("2016-01-03")),
        rng.uniform(-60, 60, number),
        rng.uniform(2, 15, number),
        np.full(number, F17, np.uint8),
        rng.integers(0, 3, number),
        np.full(number, PLACES.index(OCEAN)),
        truth,
        truth,
        {"one": given},
    )
    return replace(made, **changes)


def test_true_standard_errors_hold_in_every_kind_and_halved_ones_do_not() -> None:
    made = sample()
    found = list(chain_scores.of_errors(made, "truth"))
    kinds = {one.kind for one in found if one.variable == LHF}
    assert {"all", "observed", "filled", "-10 to 10", "high wind", "f17"} <= kinds
    assert len(found) == len(SCORED) * 12 and all(one.score.holds for one in found)
    half = {n: v / 2 if n in ERRORS.values() else v for n, v in made.chains["one"].items()}
    found = list(chain_scores.of_errors(replace(made, chains={"one": half}), "truth"))
    assert not any(one.score.holds for one in found)
    none = {n: v * np.nan if n in ERRORS.values() else v for n, v in made.chains["one"].items()}
    assert not list(chain_scores.of_errors(replace(made, chains={"one": none}), "truth"))


def test_against_reports_their_own_error_is_accounted_for() -> None:
    rng = np.random.default_rng(1)
    made = sample()
    noise = 1.0 + made.wind / 3.0  # larger than the chain's in high wind
    reference = {n: v + noise * rng.normal(size=len(made)) for n, v in made.truth.items()}
    seen = np.full(len(made), PLACES.index(SEEN))
    made = replace(made, reference=reference, place=seen)
    found = {one.kind: one.score for one in chain_scores.of_errors(made, "reports")
             if one.variable == LHF}  # fmt: skip
    assert all(one.holds for one in found.values())
    assert {one.place for one in chain_scores.of_errors(made, "reports")} == {SEEN}
    bare = {one.kind: one.score for one in chain_scores.of_errors(
        replace(made, truth=made.reference), "reports") if one.variable == LHF}  # fmt: skip
    assert not bare["all"].holds and not bare["high wind"].holds
    (one,) = [one for one in chain_scores.of_reports(made) if one.variable == LHF]
    own = np.sqrt(np.mean((made.chains["one"][LHF] - made.truth[LHF]) ** 2))
    assert one.of_report == pytest.approx(np.sqrt(np.mean(noise**2)), rel=0.05)
    assert one.rest == pytest.approx(own, rel=0.05) and one.rmse > 1.2 * own
    assert (one.place, one.year, one.points) == (SEEN, "tuning", len(made))


def test_stations_and_years_that_are_kept_apart_are_told_apart() -> None:
    rng = np.random.default_rng(2)
    made = sample()
    place = rng.choice([PLACES.index(SEEN), PLACES.index(UNSEEN)], len(made))
    late = rng.random(len(made)) < 0.5
    day = np.where(late, np.datetime64("2018-06-01"), np.datetime64("2016-06-01"))
    made = replace(made, place=place, day=day)
    found = {
        (one.place, one.year): one.points
        for one in chain_scores.of_reports(made)
        if one.variable == SHF
    }
    assert set(found) == {(p, y) for p in (SEEN, UNSEEN) for y in ("held out", "tuning")}
    assert found[UNSEEN, "held out"] == (late & (place == PLACES.index(UNSEEN))).sum()
    few = replace(made, place=np.where(np.arange(len(made)) < 29, place, PLACES.index(OCEAN)))
    assert {one.place for one in chain_scores.of_reports(few)} == {OCEAN}


def test_the_first_chain_is_divided_by_whatever_the_others_are_called() -> None:
    def summed(error: float) -> dict:
        one, nothing = np.ones(10), np.zeros(10)
        return {(LHF, "all", WHOLE): {DAYS[0]: sums(Points(one * error, nothing, one))}}

    made = {"a": summed(2.0), "a, b": summed(1.0), "c": summed(3.0)}
    found = {one.method: one for one in chain_scores.compared(made)}
    assert [found[name].ratio.value for name in made] == [1.0, 0.5, 1.5]
    assert found["a, b"].rmse.value == 1.0


def corrections(made: Sample) -> dict:
    return {(one.variable, one.kind): one for one in chain_scores.of_corrections(made, "truth")}


def test_a_correction_that_takes_all_that_can_be_taken_scores_so() -> None:
    made = sample()
    given = made.chains["one"]
    bias = 3.0 + made.wind / 3.0
    perfect = {BULK[flux]: given[flux] + bias for flux in FLUXES}
    perfect |= {IDEAL[flux]: given[flux] for flux in FLUXES}
    found = corrections(replace(made, chains={"one": given | perfect}))
    assert {kind for _, kind in found} == {"all", "observed", "filled"}
    one = found[LHF, "all"]
    assert one.score.removed == pytest.approx(1.0) and one.score.lower > 0.3
    assert one.score.ideal == pytest.approx(one.score.after)
    assert one.months_before["2016-01"] == pytest.approx(bias.mean(), abs=0.2)
    assert one.months_after["2016-01"] == pytest.approx(0.0, abs=0.2)
    idle = {flux: given[flux] + bias for flux in FLUXES}
    found = corrections(replace(made, chains={"one": given | perfect | idle}))
    assert found[SHF, "all"].score.removed == pytest.approx(0.0)
    assert found[SHF, "all"].score.lower == pytest.approx(0.0)
    useless = {IDEAL[flux]: perfect[BULK[flux]] + 1.0 for flux in FLUXES}
    found = corrections(replace(made, chains={"one": given | perfect | useless}))
    assert np.isnan(found[LHF, "all"].score.removed)  # nothing to be mended by the ideal
    assert found[LHF, "all"].score.lower > 0.3
    assert not corrections(made)  # without bulk fluxes of its own nothing was corrected


# --- from a file ---------------------------------------------------------------------------------


def test_a_chain_is_scored_from_end_to_end(folder: Path, capsys) -> None:
    told: list[str] = []
    of = settings.load(folder / "validate.yaml")
    found = report.of(of, told.append)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found["weights"]) == ["regression.json"] and found["fit"] == []
    assert "opened_before" not in found and not (folder / protocol.LOG).exists()
    made = found["chain"]
    (name,) = made["chains"]
    cells = {(s["variable"], s["cause"]): s for s in made["cells"]}
    parts = [cells[LHF, kind]["points"] for kind in ("observed", "swath", "rain")]
    assert sum(parts) == cells[LHF, "all"]["points"] and min(parts) > 100
    assert cells[LHF, "filled"]["rmse"]["value"] > cells[LHF, "observed"]["rmse"]["value"]
    budget = {(s["variable"], s["cause"], s["method"]): s for s in made["budgets"][name]}
    assert budget[LHF, "all", WHOLE]["rmse"] == cells[LHF, "all"]["rmse"]
    assert budget[LHF, "observed", "true in gaps"]["ratio"]["value"] == 1.0
    assert budget[AIR[0], "all", "all true"]["rmse"]["value"] < 1e-3
    assert not made["corrections"] and not made["standard_errors"] and not made["has_reports"]
    report.tables(found)
    shown = capsys.readouterr().out
    for title in ("Chain against the truth: latent", "Error budget of chain A", "No reports"):
        assert title in shown


def fake_reports(month: str) -> xr.Dataset | None:
    """Forty cells on two days, each with a withheld mooring and another."""
    if month != "2016-01":
        return None
    columns: dict[str, list] = {n: [] for n in ("time", "longitude", "platform", "wind_speed")}
    for day in DAYS[[3, 5]]:
        for lon in np.arange(160, 240, 2) + 0.2:
            for name, wind in ((b"41002", 7.0), (b"WHOTS", 8.5)):
                hour = (18.0 - (lon + 0.3) / 15.0) % 24.0
                columns["time"].append(day + np.timedelta64(round(60 * hour), "m"))
                columns["longitude"].append(lon)
                columns["wind_speed"].append(wind)
                columns["platform"].append(name)
    number = len(columns["time"])
    given = {
        "time": np.array(columns["time"], "datetime64[ns]"),
        "longitude": np.array(columns["longitude"]),
        "platform": np.array(columns["platform"], "S16"),
        "wind_speed": np.array(columns["wind_speed"]),
        "latitude": np.full(number, 0.3),
        **{n: np.full(number, v) for n, v in {
            "air_temperature": 298.0, "specific_humidity": 0.016, SST: 299.5,
            "air_pressure": 101_000.0, "height_wind": 4.0, "height_air_temperature": 3.0,
            "height_humidity": 3.0, "report_status": 2, "wind_method": 2, "averaging": 2,
            "feed": 2, "platform_kind": 4,
            "wind_quality": 2, "air_temperature_quality": 2, "humidity_quality": 2,
            f"{SST}_quality": 2,
        }.items()},
    }  # fmt: skip
    made = xr.Dataset({name: ("report", values) for name, values in given.items()})
    return made.assign(file=("source_file", [month]))


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_month, "reports_of", lambda place, month: fake_reports(month))
    monkeypatch.setattr(chain_points, "has_reports", lambda asked: True)
    monkeypatch.setattr(chain_scores, "has_reports", lambda asked: True)


def test_networks_are_scored_beside_baselines_at_cells_and_reports(
    folder: Path, tmp_path: Path, table, gdcm_file: Callable, mpfnet_file: Callable, capsys
) -> None:
    gdcm = gdcm_file(6, 0)
    air, fluxes, wind = (
        mpfnet_file(vocabulary, north=8, south=-8)
        for vocabulary in (networks.RETRIEVAL, networks.CORRECTION, networks.WIND_CORRECTION)
    )
    more = f"""\
purpose: a test
chain:
  options: {{sensors: [f17], {PLAIN}}}
  also:
    - {{sensors: [f17], fill: gdcm-compact, retrieve: mpfnet, correct: wind,
       weights: {{fill: {gdcm}, retrieve: {air}, correct: {wind}}}}}
    - {{sensors: [f17], fill: interpolation, retrieve: regression, correct: mpfnet,
       weights: {{correct: {fluxes}}}}}
  points: 100
  stations: true
"""
    of = asked(folder, tmp_path, more)
    found = report.of(of)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    (log,) = protocol.openings(of.log)
    assert log.what == "stations WHOTS, Stratus, NTAS" and log.purpose == "a test"
    assert set(log.weights) == {p.name for p in (gdcm, air, fluxes, wind)} | {"regression.json"}
    (folder / protocol.LOG).unlink()
    made = found["chain"]
    plain, nets, corrected = made["chains"]
    assert {(r["place"], r["chain"]) for r in made["reports"]} == {
        (place, name) for place in (SEEN, UNSEEN) for name in made["chains"]
    }
    numbers = {s["points"] for s in made["cells"] if s["cause"] == "all"}
    assert len(numbers) == 1  # all chains on the same cells
    assert {c["chain"] for c in made["corrections"]} == {nets, corrected}
    mine = [c for c in made["corrections"] if (c["against"], c["kind"]) == ("truth", "all")]
    assert all(c["removed"] is not None and c["points"] == 400 for c in mine)
    errors = {(e["chain"], e["variable"], e["against"]) for e in made["standard_errors"]}
    assert {(nets, name, "truth") for name in SCORED} <= errors
    assert (corrected, LHF, "reports") in errors and (plain, LHF, "truth") not in errors
    methods = {s["method"] for s in made["budgets"][nets]}
    assert {"uncorrected", "true wind", "all true"} <= methods
    report.tables(found)
    shown = capsys.readouterr().out
    assert f"Chain B: {nets}" in shown and "Error budget of chain C" in shown
    assert "withheld" in shown and "Correction: latent heat flux" in shown


def test_withheld_stations_stay_closed_unless_they_are_opened(
    folder: Path, tmp_path: Path, table
) -> None:
    of = asked(folder, tmp_path, f"chain: {{budget: false, {CHAIN}}}\n")
    assert report.held_out(of) == ""
    made = chain_scores.judge(of)
    assert {one.place for one in made.reports} == {SEEN} and not made.budgets
    of = asked(folder, tmp_path, f"chain: {{stations: true, budget: false, {CHAIN}}}\n")
    with pytest.raises(ConfigError, match="nothing is said of why it is opened"):
        report.of(of)


def with_copies(month: str, feed: int) -> xr.Dataset | None:
    """All reports again through another feed, under other numbers."""
    once = fake_reports(month)
    if once is None:
        return None
    names = {b"41002": b"4100200", b"WHOTS": b"1700123"}
    copy = once.assign(
        platform=("report", np.array([names[one] for one in once["platform"].values], "S16")),
        feed=("report", np.full(once.sizes["report"], feed)),
    )
    return xr.concat([once, copy], "report", data_vars="minimal")


@pytest.mark.parametrize("feed", [ICOADS, OCEANSITES])  # further from the sensor, and nearer
@pytest.mark.parametrize("stations", ["false", "true"])
def test_reports_that_come_twice_are_scored_once_and_the_withheld_ones_as_such(
    folder: Path, tmp_path: Path, table, monkeypatch: pytest.MonkeyPatch, stations: str, feed: int
) -> None:
    of = asked(folder, tmp_path, f"chain: {{stations: {stations}, budget: false, {CHAIN}}}\n")
    once = chain_scores.judge(of)
    monkeypatch.setattr(by_month, "reports_of", lambda place, month: with_copies(month, feed))
    again = chain_scores.judge(of)
    assert again.reports == once.reports
    places = {SEEN, UNSEEN} if stations == "true" else {SEEN}
    assert {one.place for one in again.reports} == places


def test_the_test_year_is_opened_with_a_line_in_the_log(folder: Path, tmp_path: Path) -> None:
    file = FILE.replace("2016-01-04, last: 2016-01-07", "2018-01-04, last: 2018-01-07")
    with pytest.raises(ConfigError, match="nothing is said of why it is opened"):
        report.of(asked(folder, tmp_path, f"chain: {{{CHAIN}}}\n", file))
    of = asked(folder, tmp_path, f"chain: {{{CHAIN}}}\npurpose: to see\n", file)
    with pytest.raises(ConfigError, match="no day of 2018"):
        report.of(of)
    (log,) = protocol.openings(of.log)
    (folder / protocol.LOG).unlink()
    assert log.what == "2018-01-01 to 2018-12-31" and list(log.weights) == ["regression.json"]


def test_without_the_satellite_the_correctable_is_not_known(
    folder: Path, tmp_path: Path, mpfnet_file: Callable
) -> None:
    stored = xr.open_zarr(folder / "passes.zarr", consolidated=False).drop_vars("satellite").load()
    for name in stored.variables:
        stored[name].encoding.clear()
    stored.to_zarr(tmp_path / "passes.zarr", consolidated=False)
    weights = mpfnet_file(networks.CORRECTION, north=8, south=-8)
    text = f"""\
chain: {{budget: false, options: {{fill: interpolation, retrieve: regression,
  correct: mpfnet, sensors: [f17],
  weights: {{correct: {weights}}}}}}}
"""
    (tmp_path / "v.yaml").write_text(FILE + text)
    made = chain_scores.judge(settings.load(tmp_path / "v.yaml"))
    assert made.corrections and all(np.isnan(one.score.removed) for one in made.corrections)
    assert not any(one.kind == "f17" for one in made.errors)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (FILE.replace("truth: {seed: 5}\n", "") + f"chain: {{{CHAIN}}}\n", "truth"),
        (FILE + "gaps: {}\n", "'fit' is missing"),
        (FILE + "chain: {stations: true, reports: false}\n", "leaves them out"),
        (FILE + "chain: {options: {colour: red}}\n", "colour"),
        (FILE, "nothing is to be scored"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "v.yaml").write_text(text)
    with pytest.raises(ConfigError, match=match):
        settings.load(tmp_path / "v.yaml")


def test_chains_are_told_apart_by_name(mpfnet_file: Callable) -> None:
    own = mpfnet_file(networks.RETRIEVAL)
    options = chosen(retrieve="mpfnet", weights=Weights(retrieve=own), sensors=("f17",))
    names = [one.name for one in chains_of([BASELINES, options])]
    assert names == ["interpolation, regression", f"interpolation, {own.stem}"]
    with pytest.raises(ConfigError, match="several chains are named interpolation, regression"):
        chains_of([BASELINES, chosen(reach=2)])


def test_a_chain_without_sea_surface_temperature_is_refused(folder: Path, tmp_path: Path) -> None:
    of = asked(folder, tmp_path, f"datasets: {{sst: null}}\nchain: {{{CHAIN}}}\n")
    with pytest.raises(ConfigError, match="needs sea surface temperature"):
        chain_scores.judge(of)


def test_stations_without_reports_are_refused(folder: Path, tmp_path: Path) -> None:
    of = asked(folder, tmp_path, f"chain: {{stations: true, {CHAIN}}}\npurpose: x\n")
    with pytest.raises(ConfigError, match="no table `insitu`"):
        chain_scores.judge(of)


def test_plain_zarrs_are_found_beside_the_file(folder: Path) -> None:
    whole = xr.open_zarr(folder / "passes.zarr", consolidated=False)
    warm = whole[[SST, f"{SST}_state"]].isel(time=slice(2, 6)).load()
    for name in warm.variables:
        warm[name].encoding.clear()
    warm.to_zarr(folder / "warm.zarr", consolidated=False)
    (folder / "w.yaml").write_text(FILE + f"datasets: {{sst: warm.zarr}}\nchain: {{{CHAIN}}}\n")
    of = settings.load(folder / "w.yaml")
    assert of.datasets.sst == str(folder.resolve() / "warm.zarr")
    source = chain_points.Source.opened(of)
    np.testing.assert_array_equal(source.days, DAYS[2:6])
    given = arrays_of(fields.read(source.passes, DAYS), source.warmth)[SST].values
    assert np.isnan(given[[0, 1, 6, 7, 8]]).all() and np.isfinite(given[2:6]).any((1, 2, 3)).all()


def test_days_without_any_value_are_refused(folder: Path, tmp_path: Path) -> None:
    whole = xr.open_zarr(folder / "passes.zarr", consolidated=False)
    warm = whole[[SST, f"{SST}_state"]].load()
    warm[f"{SST}_state"][:] = cf.SEA_ICE
    for name in warm.variables:
        warm[name].encoding.clear()
    warm.to_zarr(tmp_path / "ice.zarr", consolidated=False)
    of = asked(
        folder,
        tmp_path,
        f"datasets: {{sst: ice.zarr}}\nchain: {{budget: false, {CHAIN}}}\n",
    )
    with pytest.raises(ConfigError, match="no cell of the scored days"):
        chain_scores.judge(of)


def test_what_is_asked_travels_to_other_processes(folder: Path) -> None:
    of = settings.load(folder / "validate.yaml")
    assert pickle.loads(pickle.dumps(of)) == of
