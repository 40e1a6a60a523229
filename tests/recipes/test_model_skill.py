"""Scores of networks and baselines, on samples whose right answer is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fluxengine import place
from fluxengine.config import Period
from fluxengine.errors import ConfigError
from fluxkernels.errors import SampleError
from fluxkernels.filling.covariance import Covariance
from fluxrecipes import near_surface, networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.matchups.matching import cell_of
from fluxrecipes.nature.moorings import FLUX_MOORINGS, MOORINGS
from fluxrecipes.skill import (
    closing,
    fields,
    gaps,
    points,
    protocol,
    report,
    retrieval,
    retrievers,
    settings,
)
from fluxrecipes.skill.command import validate
from fluxrecipes.skill.fields import CAUSES, VARIABLES, Passes
from fluxrecipes.skill.fillers import ByPatterns, Estimate, InTime, Normals, learn_patterns
from fluxrecipes.skill.interpolation import PAD, ByInterpolation, fit_covariances, tuned
from fluxrecipes.skill.layers import Layer, layers_of, logarithm, normals
from fluxrecipes.skill.scores import Points, joined, scores, sums
from fluxrecipes.skill.slots import Slots
from fluxrecipes.skill.truth import Hidden, Question, Simulated
from fluxrecipes.training.archive import HeldOut, Part

LAT, LON = np.arange(-7.5, 8.0), np.arange(0.5, 360.0)
WIND, VAPOUR, CLOUD, RAIN = VARIABLES
HOURS = (18.0, 6.0)  # local time of the passes
ABOVE = 0.01


def field(days: np.ndarray) -> dict[str, np.ndarray]:
    """Smooth fields of local time and place, shape (time, orbit, lat, lon)."""
    start = (days - np.datetime64("2014-01-01")) / np.timedelta64(1, "D")
    local = np.array(HOURS)[None, :, None, None] - LON / 15.0
    time = start[:, None, None, None] + np.mod(local, 24.0) / 24.0  # days, UTC
    wave = np.sin(np.radians(3 * LON) - 1.1 * time + 0.1 * LAT[:, None])
    return {
        WIND: 8.0 + 3.0 * wave,
        VAPOUR: 40.0 + 9.0 * wave,
        CLOUD: 0.1 + 0.09 * wave,
        RAIN: np.maximum(wave - 0.5, 0.0),
    }


def observed(first: str, number: int, seed: int = 0) -> Passes:
    """Passes with gaps of every cause, and without any error."""
    days = np.arange(np.datetime64(first), np.datetime64(first) + number)
    rng = np.random.default_rng(seed)
    shape = (number, 2, LAT.size, LON.size)
    swath = np.zeros(shape, bool)
    for day in range(number):
        for orbit in range(2):
            west = int(rng.integers(360))
            swath[day, orbit][:, np.arange(west, west + 60) % 360] = True
    whole = field(days)
    rain = whole[RAIN] > 0.3
    values, states = {}, {}
    for name, full in whole.items():
        state = np.full(shape, cf.OBSERVED, np.uint8)
        if name == WIND:
            state[rain] = cf.NO_RETRIEVAL
        state[..., 100:103] = cf.COAST
        state[..., 200:203] = cf.LAND
        state[swath & (state != cf.LAND)] = cf.NO_OBSERVATION
        values[name] = np.where(state == cf.OBSERVED, full, np.nan).astype(np.float32)
        states[name] = state
    local = np.array(HOURS)[None, :, None, None] - LON / 15.0
    hours = np.where(swath, np.nan, np.mod(np.broadcast_to(local, shape), 24.0))
    return Passes(days, LAT, LON, values, states, hours.astype(np.float32))


class Known:
    """Knows the smooth fields."""

    def ask(self, passes: Passes, targets: tuple[int, ...], names: tuple[str, ...]) -> Question:
        whole = field(passes.days[list(targets)])
        causes = {
            name: {
                cause: np.stack([passes.causes(name, day)[cause] for day in targets])
                for cause in CAUSES
            }
            for name in names
        }
        return Question(passes, causes, {name: whole[name] for name in names})


class Prophet:
    """Returns the truth plus a constant."""

    def __init__(self, name: str, off: float = 0.0) -> None:
        self.name, self.off = name, off

    def fill(
        self, passes: Passes, targets: Sequence[int], wanted: Mapping[str, np.ndarray]
    ) -> dict[str, Estimate]:
        whole = field(passes.days[list(targets)])
        rains = (whole[RAIN] > ABOVE).astype(float)
        return {
            name: Estimate(
                whole[name] + self.off,
                np.full(whole[name].shape, 0.5),
                probability=np.abs(rains - abs(self.off)) if name == RAIN else None,
            )
            for name in wanted
        }


@pytest.fixture(scope="module")
def fitted() -> dict[Layer, object]:
    pieces = [observed("2014-01-01", 30, 1), observed("2014-07-01", 30, 2)]
    return normals(pieces, layers_of(VARIABLES), ABOVE)


# --- protocol ------------------------------------------------------------------------------------


def period(first: str, last: str) -> Period:
    return Period(first=date.fromisoformat(first), last=date.fromisoformat(last))


@pytest.mark.parametrize("last", ["2018-01-01", "2019-06-30"])
def test_fitting_on_the_test_year_is_refused(last: str) -> None:
    with pytest.raises(HeldOut, match=r"reaches into 2018-01-01 to 2018-12-31") as caught:
        protocol.check_fit([period("2014-01-01", last)], [period("2020-01-01", "2020-02-01")], "f")
    assert caught.value.code == "FF712"
    protocol.check_fit(
        [period("2014-01-01", "2017-12-31"), period("2019-01-01", "2019-12-31")],
        [period("2018-01-01", "2018-12-31")],
        "f",
    )


def test_scoring_what_was_fitted_is_refused() -> None:
    with pytest.raises(ConfigError, match="is fitted on, and 2014-12-31 to 2015-01-31 is scored"):
        protocol.check_fit(
            [period("2014-01-01", "2014-12-31")], [period("2014-12-31", "2015-01-31")], "f"
        )


def test_every_opening_is_written_down(tmp_path: Path) -> None:
    store = place.at(tmp_path)
    first = protocol.Opening("2018", "the paper's table", {"gdcm": "ab"})
    assert protocol.opened(store, first) == 0
    assert protocol.opened(store, protocol.Opening("2018", "again", {})) == 1
    lines = (tmp_path / protocol.LOG).read_text().splitlines()
    assert len(lines) == 2
    told = json.loads(lines[0])
    assert told["purpose"] == "the paper's table" and told["weights"] == {"gdcm": "ab"}
    assert told["when"] and told["who"] and told["commit"]
    assert protocol.openings(store)[0] == first


def test_no_opening_without_a_purpose_or_on_a_damaged_log(tmp_path: Path) -> None:
    store = place.at(tmp_path)
    with pytest.raises(ConfigError, match="nothing is said of why"):
        protocol.opened(store, protocol.Opening("2018", "  ", {}))
    assert not (tmp_path / protocol.LOG).exists()
    (tmp_path / protocol.LOG).write_text('{"what": "2018"}\n')
    with pytest.raises(protocol.DamagedLog, match="line 1 is no opening"):
        protocol.opened(store, protocol.Opening("2018", "look", {}))
    assert (tmp_path / protocol.LOG).read_text() == '{"what": "2018"}\n'


# --- local time ----------------------------------------------------------------------------------


def test_passes_follow_each_other_in_local_time_across_all_seams() -> None:
    """The true time of the passes, arranged, grows by half a day a slot and hardly with longitude.

    Two places side by side in one slot were seen 4 minutes apart for each degree, everywhere.
    """
    days = np.arange(6)
    local = np.array(HOURS)[None, :, None, None] - LON / 15.0
    time = 24.0 * days[:, None, None, None] + np.mod(local, 24.0)  # hours
    time = np.broadcast_to(time, (6, 2, 2, 360))
    slots = Slots(HOURS, LON, 20)
    made = slots.arranged(time)
    assert made.shape == (14, 2, 400)
    along, across = np.diff(made, axis=0), np.diff(made, axis=2)
    np.testing.assert_allclose(along[np.isfinite(along)], 12.0)
    np.testing.assert_allclose(across[np.isfinite(across)], -1 / 15.0, atol=1e-9)
    assert np.isfinite(made[4:-4]).all()
    for orbit in range(2):
        found = np.full((2, 360), np.nan)
        for slot, columns in slots.places(3, orbit):
            found[:, columns] = made[slot, :, 20:-20][:, columns]
        np.testing.assert_array_equal(found, time[3, orbit])


def test_local_hours_are_those_of_the_passes() -> None:
    passes = observed("2014-03-01", 3)
    np.testing.assert_allclose(passes.local_hours, np.array(HOURS)[:, None] + 0 * LAT, atol=1e-4)


# --- gap filling ---------------------------------------------------------------------------------


def judged(fillers: Sequence, passes: Passes, targets: tuple[int, ...] = (7, 9)) -> dict:
    made = gaps.score_run(passes, targets, fillers, Known(), VARIABLES, ABOVE)
    found = scores(joined([made.gathered]), "oi-")
    return {(s.variable, s.cause, s.method): s for s in found}


def test_who_returns_the_truth_scores_nothing_and_a_constant_is_a_bias() -> None:
    passes = observed("2016-01-01", 16)
    found = judged([Prophet("oi-x", 0.5), Prophet("seer")], passes)
    for name in VARIABLES:
        seer, off = found[name, "all", "seer"], found[name, "all", "oi-x"]
        assert seer.rmse.value == pytest.approx(0.0, abs=1e-12)
        assert seer.ratio.value == pytest.approx(0.0, abs=1e-12)
        assert off.rmse.value == pytest.approx(0.5) and off.bias == pytest.approx(0.5)
        assert off.ratio.value == 1.0
        assert np.isnan(off.rmse.low) and np.isnan(off.rmse.high)  # both days are of one block
        # An error of 0.5 is outside of 0.994 × 0.5, and inside of 1.96 × 0.5.
        assert seer.inside68 == pytest.approx(1.0) and off.inside68 == 0.0
        assert off.inside95 == pytest.approx(1.0)
    assert found[RAIN, "all", "seer"].brier.value == 0.0
    assert found[RAIN, "all", "oi-x"].brier.value == pytest.approx(0.25)
    assert found[RAIN, "all", "seer"].log_rmse.value == pytest.approx(0.0, abs=1e-12)


def test_cells_add_up_by_cause_and_are_the_same_for_all_methods() -> None:
    passes = observed("2016-01-01", 16)
    found = judged([Prophet("a"), Prophet("b", 1.0)], passes)
    for name in VARIABLES:
        by_cause = [found[name, cause, "a"].points for cause in CAUSES]
        assert sum(by_cause) == found[name, "all", "a"].points == found[name, "all", "b"].points
        for cause, code in CAUSES.items():
            gap = np.isin(passes.states[name][[7, 9]], code).sum()
            assert found[name, cause, "a"].points == gap
    assert found[WIND, "rain", "a"].points > 0
    assert found[RAIN, "rain", "a"].points == 0
    assert np.isnan(found[RAIN, "rain", "a"].rmse.value)


def test_baselines_come_in_the_order_of_what_they_know(fitted: dict) -> None:
    """The waves move: time alone is poor, space and time good, the other pass helps further."""
    passes = observed("2016-03-01", 16, 5)
    stretches = [observed("2014-02-01", 12, 3), observed("2014-08-01", 12, 4)]
    wind = {layer: one for layer, one in fitted.items() if layer.variable == WIND}
    fillers: list = [Normals(wind, ABOVE), InTime(wind, ABOVE)]
    for preset in ("causal", "both"):
        models = fit_covariances(stretches, wind, ABOVE, preset)
        fillers.append(ByInterpolation(wind, ABOVE, preset, models))
    made = gaps.score_run(passes, (7, 9), fillers, Known(), (WIND,), ABOVE)
    found = {s.method: s for s in scores(made.gathered, "oi-") if s.cause == "all"}
    rmse = {name: one.rmse.value for name, one in found.items()}
    assert rmse["oi-both"] < rmse["oi-causal"] < 0.8 * rmse["climatology"]
    assert rmse["oi-causal"] < rmse["temporal"]
    assert found["oi-both"].ratio.value == 1.0
    assert found["oi-causal"].ratio.value == pytest.approx(rmse["oi-causal"] / rmse["oi-both"])
    assert set(made.seconds) == set(rmse)


def test_scales_that_are_wrong_are_mended_on_the_training_period(fitted: dict) -> None:
    """Those of a smooth wave that is tracked in time, where places are told to be as near."""
    wind = {layer: one for layer, one in fitted.items() if layer.variable == WIND}
    layer = Layer(WIND, "value")
    stretches = [observed("2014-02-01", 10, 3)]
    short = {layer: (Covariance(0.9, 0.1, 700.0, 600.0, 0.7),) * LAT.size}
    before = ByInterpolation(wind, ABOVE, "both", short)
    after = tuned(before, stretches)
    one, other = (filler.covariances[layer][3] for filler in (before, after))
    assert (other.zonal, other.temporal) != (one.zonal, one.temporal)
    assert other.signal == one.signal and other.noise == one.noise
    passes = observed("2016-03-01", 13, 5)
    made = [gaps.score_run(passes, (6,), [f], Known(), (WIND,), ABOVE) for f in (before, after)]
    errors = [scores(m.gathered, "oi-")[-1].rmse.value for m in made]
    assert errors[1] < errors[0]


def test_a_causal_window_does_not_look_ahead(fitted: dict) -> None:
    passes = observed("2016-03-01", 16, 5)
    wind = {layer: one for layer, one in fitted.items() if layer.variable == WIND}
    model = Covariance(0.9, 0.1, 900.0, 600.0, 1.0)
    models = dict.fromkeys(wind, (model,) * LAT.size)
    wanted = {WIND: passes.states[WIND][[8]] == cf.NO_OBSERVATION}
    later = passes.without(np.arange(16)[:, None, None, None] > np.full(passes.hours.shape, 8))
    for preset, same in (("causal", True), ("centred", False)):
        filler = ByInterpolation(wind, ABOVE, preset, models)
        one, other = (filler.fill(p, (8,), wanted)[WIND].values for p in (passes, later))
        assert np.array_equal(one[wanted[WIND]], other[wanted[WIND]]) == same


def test_patterns_restore_what_is_made_of_them(fitted: dict) -> None:
    """A standing wave is two patterns of place: with some of it seen, the rest follows."""
    wind = {layer: one for layer, one in fitted.items() if layer.variable == WIND}
    stretches = [observed("2014-02-01", 15, 3), observed("2014-08-01", 15, 4)]
    patterns = learn_patterns(stretches, wind, ABOVE)
    maps = patterns[Layer(WIND, "value")].maps
    np.testing.assert_allclose(maps @ maps.T, np.eye(len(maps)), atol=1e-4)
    passes = observed("2016-03-01", 12, 5)
    found = gaps.score_run(
        passes, (5,), [Normals(wind, ABOVE), ByPatterns(wind, ABOVE, patterns)], Known(),
        (WIND,), ABOVE,
    )  # fmt: skip
    rmse = {s.method: s.rmse.value for s in scores(found.gathered, "oi-") if s.cause == "all"}
    assert rmse["dineof"] < 0.3 * rmse["climatology"]


def test_hidden_cells_are_observed_ones_under_another_days_swaths() -> None:
    passes = observed("2016-03-01", 12, 5)
    asked = Hidden(shift=2).ask(passes, (4,), VARIABLES)
    hidden = asked.causes[WIND]["swath"][0]
    assert hidden.any()
    assert (passes.states[WIND][4][hidden] == cf.OBSERVED).all()
    assert (passes.states[VAPOUR][6][hidden] == cf.NO_OBSERVATION).all()
    assert np.isnan(asked.given.values[WIND][4][hidden]).all()
    np.testing.assert_array_equal(asked.truth[WIND][0][hidden], passes.values[WIND][4][hidden])
    np.testing.assert_array_equal(asked.given.values[WIND][5], passes.values[WIND][5])


def test_the_simulated_truth_is_that_of_the_world_at_the_time_of_the_pass() -> None:
    from fluxrecipes.nature import World

    passes = observed("2016-03-01", 3)
    where = np.zeros((1, 2, LAT.size, LON.size), bool)
    where[0, 1, 4, 170] = True  # 6 h local time at 170.5 E is 18.63 h UTC
    found = Simulated(3).at(passes, (1,), where, (VAPOUR, "air_temperature"))
    hours = np.timedelta64(round((6.0 - 170.5 / 15.0 + 24.0) * 3600), "s")
    there = World(3).surface(np.datetime64("2016-03-02T00:00:00") + hours, (-8, 8))
    for name, values in found.items():
        expected = float(there[name].values[4, 170])
        assert values[where].item() == pytest.approx(expected, rel=2e-4)
        assert np.isfinite(values).sum() == 1


# --- scores --------------------------------------------------------------------------------------


def test_sums_of_days_are_scores_of_all_points() -> None:
    rng = np.random.default_rng(4)
    x, y, w = rng.normal(size=(3, 60))
    w = np.abs(w)
    days = np.arange(np.datetime64("2016-01-01"), np.datetime64("2016-01-07"))
    parts = np.split(np.arange(60), 6)
    gathered = {("v", "all", "oi-a"): {d: sums(Points(x[p], y[p], w[p]))
                                       for d, p in zip(days, parts, strict=True)}}  # fmt: skip
    (one,) = scores(gathered, "oi-", block=1)
    assert one.rmse.value == pytest.approx(np.sqrt(np.average((x - y) ** 2, weights=w)))
    assert one.bias == pytest.approx(np.average(x - y, weights=w))
    assert one.correlation == pytest.approx(np.cov(x, y, aweights=w)[0, 1]
        / np.sqrt(np.cov(x, aweights=w) * np.cov(y, aweights=w)))  # fmt: skip
    assert one.rmse.low < one.rmse.value < one.rmse.high
    assert one.ratio == (1.0, 1.0, 1.0) and one.points == 60 and one.days == 6
    assert "brier" not in one.as_json() and "crps" not in one.as_json()


def test_the_best_reference_is_the_one_to_beat() -> None:
    day = np.datetime64("2016-01-01")
    y, w = np.zeros(4), np.ones(4)
    made = {
        ("v", "all", name): {day: sums(Points(y + off, y, w))}
        for name, off in (("oi-a", 2.0), ("oi-b", 1.0), ("net", 0.5))
    }
    found = {one.method: one for one in scores(made, "oi-", alike={"net": "oi-a"})}
    ratios = {name: one.ratio.value for name, one in found.items()}
    assert ratios == {"oi-a": 2.0, "oi-b": 1.0, "net": 0.5}
    assert found["net"].alike.value == 0.25 and found["oi-b"].alike is None


# --- retrievals, corrections, budgets ------------------------------------------------------------


def test_a_perfect_retrieval_closes_all_of_the_gap_and_the_baseline_none() -> None:
    rng = np.random.default_rng(1)
    number = 4000
    air = 290.0 + rng.normal(size=number), 0.01 + 1e-3 * rng.normal(size=number)
    noise = rng.normal(size=number)
    day = np.repeat(np.array(["2016-05-01", "2018-05-01"], "datetime64[D]"), number // 2)
    place = np.arange(number) % 2 * 2  # every other one at a withheld station
    test = points.Sample(np.zeros((number, 12)), np.zeros((number, 8)), air, day, place, {}, {})
    found = {
        name: (air[0] + off * noise, air[1] + 1e-3 * off * noise)
        for name, off in (("quadratic", 2.0), ("oracle", 1.0), ("net", np.sqrt(2.5)))
    }
    made = {(s.variable, s.year, s.place, s.method): s for s in retrieval.scored(found, test)}
    assert {key[1] for key in made} == {"tuning", "held out"}
    assert {key[2] for key in made} == {"ocean", "withheld stations"}
    for (*_, method), score in made.items():
        expected = {"quadratic": 0.0, "oracle": 1.0, "net": 0.5}[method]
        assert score.closed == pytest.approx(expected, abs=1e-9)
        assert score.points == number // 4
    assert json.dumps([s.as_json() for s in made.values()], allow_nan=False)


def sample(number: int, seed: int) -> points.Sample:
    """Air that depends on its inputs alone, also on cloud, which the regression is not told."""
    rng = np.random.default_rng(seed)
    inputs = np.zeros((number, 12))
    names = points.INPUTS
    wind, vapour, sst, cloud = (names.index(n) for n in (WIND, VAPOUR, points.SST, CLOUD))
    inputs[:, wind] = rng.uniform(2, 15, number)
    inputs[:, sst] = rng.uniform(275, 302, number)
    inputs[:, vapour] = rng.uniform(5, 60, number)
    inputs[:, cloud] = rng.uniform(0, 0.3, number)
    air = inputs[:, sst] - 1.0 - 8.0 * inputs[:, cloud] + 0.05 * inputs[:, wind]
    humidity = 0.75 * near_surface.sea_saturation(air)
    order = [points.VARIABLES.index(n) for n in VARIABLES]
    perfect = np.zeros((number, 8))
    for k, name in zip(order, VARIABLES, strict=True):
        perfect[:, k] = inputs[:, names.index(name)]
    perfect[:, 4] = inputs[:, sst]
    day = np.full(number, np.datetime64("2016-01-01"))
    return points.Sample(inputs, perfect, (air, humidity), day, np.zeros(number, int), {}, {})


def test_who_is_told_more_retrieves_better() -> None:
    pytest.importorskip("sklearn")
    learn, test = sample(6000, 1), sample(2000, 2)
    found = {name: fit(learn, 0)(test) for name, fit in retrievers.BASELINES.items()}
    rmse = {(s.variable, s.method): s.rmse for s in retrieval.scored(found, test)}
    for name, floor in (("air_temperature", 0.5), ("specific_humidity", 4e-4)):
        for method in ("boosting", "mlp", "oracle"):
            assert rmse[name, method] < 0.5 * rmse[name, "quadratic"]
            assert rmse[name, method] < floor


def test_points_are_drawn_where_there_are_values_each_once() -> None:
    there = np.zeros((2, 6, 8), bool)
    there[0, :, :4] = True
    there[1, 2, 3] = True
    made = points.chosen(there, np.linspace(-50, 50, 6), 10, np.random.default_rng(0))
    assert made[0].sum() == 10 and made[1].sum() == 1 and not (made & ~there).any()


def test_a_correction_that_knows_all_removes_all() -> None:
    rng = np.random.default_rng(2)
    truth, bias, noise = 100.0 * rng.random(5000), 8.0 + 3.0 * rng.normal(size=5000), 5.0
    ideal = truth + noise * rng.normal(size=5000)
    before = ideal + bias
    perfect = closing.correction(before, ideal, truth, ideal)
    assert perfect.removed == pytest.approx(1.0)
    assert (
        perfect.lower == pytest.approx(1 - perfect.after / perfect.before) and perfect.lower > 0.4
    )
    assert perfect.slope == pytest.approx(1.0, abs=0.01)
    assert closing.correction(before, before, truth, ideal).removed == 0.0
    half = closing.correction(before, 0.5 * truth, truth)
    assert half.slope == pytest.approx(0.5) and half.spread == pytest.approx(0.5)
    assert half.percentiles[0] == pytest.approx(-0.5 * np.percentile(truth, 95))
    assert np.isnan(half.removed)


def test_monthly_biases() -> None:
    months = np.array(["2016-01", "2016-01", "2016-02", "2016-03"], "datetime64[M]")
    found = closing.monthly_bias(np.array([1.0, 3.0, 5.0, np.nan]), np.zeros(4), months)
    assert found == {"2016-01": 2.0, "2016-02": 5.0}


def test_true_standard_errors_hold_and_halved_ones_do_not() -> None:
    rng = np.random.default_rng(3)
    error = rng.uniform(0.5, 2.0, 40_000)
    truth = rng.normal(size=40_000)
    mean = truth + error * rng.normal(size=40_000)
    latitude = rng.uniform(-60, 60, 40_000)
    kinds = closing.bands(latitude) | closing.thirds(error, "wind")
    found = closing.trust(mean, error, truth, kinds)
    assert len(found) == 9 and all(one.holds for one in found.values())
    assert sum(found[name].points for name in closing.bands(latitude)) == 40_000
    assert not any(one.holds for one in closing.trust(mean, error / 2, truth, kinds).values())
    assert found["all"].width == pytest.approx(error.mean())
    assert closing.trust(mean, error, truth, {"none": error < 0})["none"].points == 0


def test_a_gap_that_is_none_is_refused() -> None:
    with pytest.raises(SampleError, match="not below the baseline's"):
        closing.closed(1.0, 2.0, 2.0)


# --- from a file ---------------------------------------------------------------------------------

FILE = """\
store: passes.zarr
fit: {first: 2014-01-01, last: 2014-01-30}
score: {first: 2014-02-05, last: 2014-02-20}
every: 6
gaps: {methods: [climatology, temporal, oi-centred], variables: [wind_speed], stretches: 2}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain Zarr of passes and a validate.yaml beside it."""
    base = tmp_path_factory.mktemp("skill")
    passes = observed("2014-01-01", 55, 9)
    dims = ("time", "orbit", "lat", "lon")
    stored = {n: (dims, v) for n, v in passes.values.items()}
    stored |= {f"{n}_state": (dims, s) for n, s in passes.states.items()}
    stored["pass_time"] = (dims, passes.hours)
    warm = np.broadcast_to(np.float32(300.0) - np.abs(LAT)[:, None] / 10, passes.hours.shape)
    stored[cf.sea_surface_temperature.name] = (dims, warm)
    seen = np.full(passes.hours.shape, cf.OBSERVED, np.uint8)
    stored[f"{cf.sea_surface_temperature.name}_state"] = (dims, seen)
    coords = {"time": passes.days.astype("datetime64[ns]"), "lat": LAT, "lon": LON}
    xr.Dataset(stored, coords).to_zarr(base / "passes.zarr", consolidated=False)
    (base / "validate.yaml").write_text(FILE)
    return base


def test_an_archive_without_a_truth_is_scored_from_end_to_end(folder: Path, capsys) -> None:
    asked = settings.load(folder / "validate.yaml")
    found = report.of(asked)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["gaps"]["against"] == "observed cells that were hidden"
    mine = {s["method"]: s for s in found["gaps"]["scores"] if s["cause"] == "all"}
    assert mine["oi-centred"]["rmse"]["value"] < mine["climatology"]["rmse"]["value"]
    assert found["gaps"]["cells"]["wind_speed"]["swath"] == mine["temporal"]["points"] > 1000
    assert "opened_before" not in found and not (folder / protocol.LOG).exists()
    report.tables(found)
    shown = capsys.readouterr().out
    assert "observations that were hidden" in shown and "oi-centred" in shown


def test_opening_the_test_year_is_told_and_logged(folder: Path, tmp_path: Path) -> None:
    text = FILE.replace("2014-02-05, last: 2014-02-20", "2018-02-05, last: 2018-02-20")
    text = text.replace("passes.zarr", str(folder / "passes.zarr"))
    (tmp_path / "v.yaml").write_text(text)
    with pytest.raises(ConfigError, match="nothing is said of why it is opened"):
        report.of(settings.load(tmp_path / "v.yaml"))
    (tmp_path / "v.yaml").write_text(text + "purpose: a test\n")
    told: list[str] = []
    for _ in range(2):
        with pytest.raises(ConfigError, match="no day of 2018"):  # the record ends before
            report.of(settings.load(tmp_path / "v.yaml"), told.append)
    (folder / protocol.LOG).unlink()
    assert "opened 0 times before" in told[0] and "opened 1 times before" in told[2]


def test_a_retrieval_is_scored_from_end_to_end(folder: Path, tmp_path: Path, capsys) -> None:
    """Regression, perceptron and a network of whatever weights, on a world they know nothing of."""
    torch = pytest.importorskip("torch")
    from fluxkernels.nets import weights
    from fluxkernels.nets.mpfnet import MPFNet, MPFNetSettings

    torch.manual_seed(0)
    small = MPFNetSettings(
        len(networks.RETRIEVAL.predictors), 2, width=4, levels=2, modes=(2, 2), reduced=2,
        history=2, point=8, blocks=1, south=-8.0, north=8.0,
    )  # fmt: skip
    card = weights.ModelCard("simulated", "2014", {}, "none", 1, "f17", "both", networks.RETRIEVAL)
    weights.save(tmp_path / "small.safetensors", MPFNet(small), card)
    text = FILE.partition("gaps")[0].replace("passes.zarr", str(folder / "passes.zarr"))
    text += "datasets: {sst: any}\ntruth: {seed: 3}\nretrieval: {weights: [small.safetensors],"
    text += " methods: [quadratic, mlp], points: 60, days: 3}\n"
    (tmp_path / "v.yaml").write_text(text)
    found = report.of(settings.load(tmp_path / "v.yaml"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    scored = {(s["variable"], s["method"]): s for s in found["retrieval"]["scores"]}
    assert len(scored) == 6 and len({s["points"] for s in scored.values()}) == 1
    number = scored["air_temperature", "mpfnet:small"]["points"]
    errors = found["retrieval"]["standard_errors"]
    warmth = [one for one in errors if one["variable"] == "air_temperature"]
    bands = [one["points"] for one in warmth if " to " in one["kind"]]
    assert sum(bands) == number > 100
    report.tables(found)
    assert "mpfnet:small" in capsys.readouterr().out


def test_the_verb_prints_a_document(folder: Path, capsys) -> None:
    with pytest.raises(ConfigError, match="`--models`"):
        validate(folder / "validate.yaml")
    out = folder / "deep" / "models"
    validate(folder / "validate.yaml", models=True, out=out, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["gaps"]["scores"] and found["simulated"] is False
    assert json.loads((out / "models.json").read_text()) == found


def test_opening_the_withheld_stations_is_told(tmp_path: Path) -> None:
    text = FILE + "truth: {seed: 1}\nretrieval: {stations: true}\n"
    (tmp_path / "v.yaml").write_text(text)
    assert report.held_out(settings.load(tmp_path / "v.yaml")) == "stations WHOTS, Stratus, NTAS"
    (tmp_path / "v.yaml").write_text(text.replace("stations: true", "stations: false"))
    assert report.held_out(settings.load(tmp_path / "v.yaml")) == ""


def test_moorings_lie_in_the_cells_that_their_reports_are_matched_with() -> None:
    globe = {"lat": np.arange(-89.5, 90.0), "lon": np.arange(0.5, 360.0)}
    seen, unseen = points.station_cells(Part(xr.Dataset(coords=globe), (), "")).values()
    moored = [station for station, _ in MOORINGS.values()]
    for found, stations in ((seen, moored), (unseen, FLUX_MOORINGS)):
        cells = [cell_of(s.latitude, s.longitude, -90.0, 0.0) for s in stations]
        np.testing.assert_array_equal(np.transpose(found), cells)
    at = list(MOORINGS).index("0n140w")  # on the edge of two rows
    assert globe["lat"][seen[0][at]] == 0.5 and globe["lon"][seen[1][at]] == 220.5


def test_moorings_off_the_grid_have_no_cell(folder: Path) -> None:
    part = fields.opened(place.at(folder / "passes.zarr"), "")
    seen, unseen = points.station_cells(part).values()
    inside = [s for s, _ in MOORINGS.values() if -8.0 <= s.latitude < 8.0]
    assert len(seen[0]) == len(inside) and seen[0].min() >= 0 and seen[0].max() < LAT.size
    assert not unseen[0].size


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("colour: red\n", "colour"),
        ("retrieval: {}\n", "truth"),
        ("truth: {seed: 1, world: mars}\n", "mars"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, line: str, match: str) -> None:
    (tmp_path / "v.yaml").write_text(FILE + line)
    with pytest.raises(ConfigError, match=match):
        settings.load(tmp_path / "v.yaml")


def test_fitting_on_2018_is_refused_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text(FILE.replace("last: 2014-01-30", "last: 2018-01-30"))
    with pytest.raises(HeldOut):
        settings.load(tmp_path / "v.yaml")


# --- networks ------------------------------------------------------------------------------------


def test_a_network_fills_by_its_weights(tmp_path: Path) -> None:
    """It is given its own window; what it says of rain is its probability."""
    torch = pytest.importorskip("torch")
    from fluxkernels.nets import weights
    from fluxkernels.nets.gdcm import GDCM, GDCMSettings
    from fluxrecipes.skill.network import Warmth, networks_of

    torch.manual_seed(0)
    small = GDCMSettings(
        variables=5, context=6, steps=3, target=1, entry=4, lstm=(4, 4), motion=(4, 4),
        prototypes=4, attention=8, decoder=8, pyramid=8, stem=4, dilations=(1, 2),
    )  # fmt: skip
    net = GDCM(small)
    card = weights.ModelCard(
        "simulated", "2014", {}, "none", 1, "f17", "both", networks.GAPS_BOTH_PASSES
    )
    weights.save(tmp_path / "small.safetensors", net, card)
    passes = observed("2016-03-01", 5)
    with pytest.raises(ConfigError, match="no dataset of it is named"):
        networks_of([tmp_path / "small.safetensors"], None)
    sst = Warmth(passes.days, np.full((5, 1, LAT.size, LON.size), 295.0, np.float32))
    (filler,) = networks_of([tmp_path / "small.safetensors"], sst)
    assert filler.name == "gdcm:small" and filler.alike == "oi-both"
    wanted = {name: np.ones((2, 2, LAT.size, LON.size), bool) for name in (WIND, RAIN)}
    found = filler.fill(passes, (0, 2), wanted)
    assert found[WIND].probability is None
    assert ((found[RAIN].probability >= 0) & (found[RAIN].probability <= 1)).all()
    assert np.isfinite(found[WIND].values).all()
    # Days outside the window have no influence; the other pass has.
    far = passes.without(np.arange(5)[:, None, None, None] >= np.full(passes.hours.shape, 4))
    again = filler.fill(far, (0, 2), wanted)
    np.testing.assert_array_equal(again[WIND].values, found[WIND].values)
    orbit = np.arange(2)[None, :, None, None] == np.ones(passes.hours.shape)
    other = filler.fill(passes.without(orbit), (0, 2), wanted)
    assert not np.array_equal(other[WIND].values[:, 0], found[WIND].values[:, 0])


def test_runs_hold_their_days_and_score_every_nth() -> None:
    written = np.concatenate(
        [np.arange(np.datetime64(a), np.datetime64(b)) for a, b in
         (("2016-01-01", "2016-02-20"), ("2016-04-01", "2016-04-03"))]
    )  # fmt: skip
    runs = fields.runs(written, [period("2016-01-04", "2016-12-31")], every=10, margin=6)
    days = [str(run.days[k]) for run in runs for k in run.targets]
    assert days == ["2016-01-04", "2016-01-14", "2016-01-24", "2016-02-03", "2016-02-13"]
    assert runs[0].first == np.datetime64("2016-01-01")
    assert runs[0].last == np.datetime64("2016-01-30")
    stretches = fields.sampled(written, [period("2016-01-01", "2016-12-31")], length=10, count=3)
    assert [one.days.size for one in stretches] == [10, 10, 10]
    with pytest.raises(ConfigError, match="hold no 10 consecutive days"):
        fields.sampled(written, [period("2016-04-01", "2016-04-03")], length=10, count=3)


def test_days_of_periods_that_overlap_or_are_not_in_order_are_those_of_their_union() -> None:
    written = np.arange(np.datetime64("2016-01-01"), np.datetime64("2018-01-01"))
    several = [period("2016-02-01", "2016-02-10"), period("2016-02-05", "2016-02-15")]
    union = [period("2016-02-01", "2016-02-15")]
    for every in (1, 4):
        expected = fields.runs(written, union, every=every, margin=6)
        for given in (several, several[::-1], [*several, several[0]]):
            assert fields.runs(written, given, every=every, margin=6) == expected
            assert np.array_equal(
                fields.days_of(written, given, every), fields.days_of(written, union, every)
            )
    assert fields.sampled(written, several, length=5, count=9) == fields.sampled(
        written, union, length=5, count=9
    )
    years = [period("2016-12-01", "2016-12-31"), period("2017-01-01", "2017-01-31")]
    runs = fields.runs(written, years, every=10, margin=6)
    assert fields.runs(written, years[::-1], every=10, margin=6) == runs
    days = [str(run.days[k]) for run in runs for k in run.targets]
    assert days[3:5] == ["2016-12-31", "2017-01-01"]  # each period begins with its first day


OVERLAPPING = (
    "[{first: 2014-02-12, last: 2014-02-20}, {first: 2014-02-05, last: 2014-02-14}]",
    "[{first: 2014-01-20, last: 2014-01-30}, {first: 2014-01-01, last: 2014-01-22}]",
)
UNION = ("{first: 2014-02-05, last: 2014-02-20}", "{first: 2014-01-01, last: 2014-01-30}")


@pytest.mark.parametrize(
    ("what", "part"),
    [
        ("gaps", "gaps: {methods: [climatology, oi-causal], variables: [wind_speed]}\n"),
        (
            "retrieval",
            "datasets: {sst: any}\ntruth: {seed: 3}\n"
            "retrieval: {methods: [quadratic], points: 60, days: 50}\n",
        ),
    ],
    ids=["gaps", "retrieval"],
)
def test_periods_that_overlap_count_no_day_twice(
    folder: Path, tmp_path: Path, what: str, part: str
) -> None:
    found = []
    for score, fit in (UNION, OVERLAPPING):
        text = f"store: {folder / 'passes.zarr'}\nfit: {fit}\nscore: {score}\nevery: 3\n"
        (tmp_path / "v.yaml").write_text(text + part)
        found.append(report.of(settings.load(tmp_path / "v.yaml"))[what])
    assert found[0]["scores"] == found[1]["scores"]
    assert found[0].get("fitted_on") == found[1].get("fitted_on")


def test_days_to_fit_on_that_were_never_written_are_told(folder: Path, tmp_path: Path) -> None:
    text = FILE.replace("2014-01-01, last: 2014-01-30", "2012-01-01, last: 2012-01-30")
    text = text.replace("passes.zarr", str(folder / "passes.zarr"))
    (tmp_path / "v.yaml").write_text(text.replace(", oi-centred", ""))
    with pytest.raises(ConfigError, match="no day of 2012-01-01 to 2012-01-30 was written") as told:
        report.of(settings.load(tmp_path / "v.yaml"))
    assert told.value.where == "fit" and told.value.mend


def test_logarithms_count_what_scatters_below_zero_as_zero() -> None:
    assert logarithm(CLOUD, np.array([-0.03, 0.0]))[0] == logarithm(CLOUD, np.zeros(1))[0]
    assert PAD * 111.2 * np.cos(np.radians(60)) > 900
