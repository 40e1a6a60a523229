"""Random fields: any time without stepping, and the statistics they declare."""

from __future__ import annotations

import numpy as np
import pytest

from fluxrecipes.nature.fields import ROWS, Points, RandomField

HOURS = 600_000.0
FIELD = RandomField("test/scalar", 31.0, 6.0, 4.0, power=1.5)
FIXED = RandomField("test/fixed", np.inf, 6.0, 4.0)


def globe(hours: float) -> Points:
    row, column = np.divmod(np.arange(ROWS * 360), 360)
    return Points(row, column.astype(np.float32), np.full(row.size, hours))


def test_the_same_question_has_the_same_answer_whatever_was_asked_before():
    points = globe(HOURS).part(slice(0, 5000))
    first = FIELD.at(points, 7)
    FIELD.at(globe(HOURS + 5000.0), 7)
    np.testing.assert_array_equal(FIELD.at(points, 7), first)


def test_the_answer_at_a_point_does_not_depend_on_its_company():
    points = globe(HOURS)
    alone = FIELD.at(points.part(slice(777, 778)), 7)
    np.testing.assert_array_equal(FIELD.at(points, 7)[:, 777:778], alone)


@pytest.mark.parametrize("knot", [19_354, 19_355])
def test_it_is_continuous_across_a_knot(knot):
    time = knot * FIELD.step
    before, after = (FIELD.at(globe(time + shift), 7) for shift in (-1e-3, 1e-3))
    assert np.abs(before - after).max() < 0.01


@pytest.mark.parametrize("hours", [0.0, 5.0, 15.5, 24.0])
def test_its_variance_is_one_at_all_times(hours):
    values = np.concatenate([FIELD.at(globe(HOURS + hours), seed)[0] for seed in range(4)])
    assert values.std() == pytest.approx(1.0, abs=0.04)
    assert values.mean() == pytest.approx(0.0, abs=0.06)


def test_its_correlation_is_the_declared_one():
    grids = [FIELD.at(globe(HOURS), seed)[0].reshape(ROWS, 360) for seed in range(6)]
    for lag in (1, 4, 8):
        zonal = np.mean([np.mean(g * np.roll(g, lag, axis=1)) for g in grids])
        meridional = np.mean([np.mean(g[: -4 * lag] * g[4 * lag :]) for g in grids])
        assert zonal == pytest.approx(np.exp(-((lag / 6.0) ** 1.5)), abs=0.06)
        assert meridional == pytest.approx(np.exp(-((lag / 4.0) ** 1.5)), abs=0.06)


def test_it_drifts_with_the_flow():
    row = np.full(360, 540)  # 45 N, where the flow is westerly
    here = Points(row, np.arange(360, dtype=np.float32), np.full(360, HOURS))
    later = Points(row, here.longitude + 3.0 * here.flow, here.hours + 3.0)
    stays = Points(row, here.longitude, here.hours + 3.0)
    followed, passed = (
        np.corrcoef(FIELD.at(here, 7)[0], FIELD.at(p, 7)[0])[0, 1] for p in (later, stays)
    )
    assert here.flow[0] > 0.3
    assert followed > passed + 0.02


def test_a_fixed_field_and_other_seeds_names_and_kinds():
    points, later = globe(HOURS), globe(HOURS + 999.0)
    np.testing.assert_array_equal(FIXED.at(points, 7), FIXED.at(later, 7))
    one = FIELD.at(points, 7)[0]
    other = RandomField("test/other", 31.0, 6.0, 4.0, power=1.5).at(points, 7)[0]
    for unlike in (FIELD.at(points, 8)[0], other):
        assert abs(np.corrcoef(one, unlike)[0, 1]) < 0.1


def test_a_streamfunction_brings_unit_winds_that_belong_to_it():
    field = RandomField("test/stream", 43.0, 12.0, 10.0, 2.0, spacing=1.0, streamfunction=True)
    stream, east, north = field.at(globe(HOURS), 3).reshape(3, ROWS, 360)
    assert east.std() == pytest.approx(1.0, abs=0.15)
    assert north.std() == pytest.approx(1.0, abs=0.15)
    slope = np.roll(stream, -1, axis=1) - np.roll(stream, 1, axis=1)
    assert np.corrcoef(slope.ravel(), north.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("row", [-1, 720])
def test_points_off_the_grid_are_refused(row):
    with pytest.raises(ValueError, match=f"rows {row} to {row} are not all of the grid's"):
        Points(np.array([row]), np.zeros(1, np.float32), np.zeros(1))
