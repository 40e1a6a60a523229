"""Hourly records of two places against ocean station PAPA (2010-2020) and NDBC 41002 (2022).

Four simulated worlds stand side by side: what single ones differ by is a good part of a tolerance.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from fluxrecipes.nature import World
from fluxrecipes.report import moorings


@pytest.fixture(scope="module")
def found() -> tuple[moorings.Record, ...]:
    """At both places, four worlds side by side."""
    places = (moorings.PAPA, moorings.ST_41002)
    worlds = [moorings.records(World(seed), places) for seed in (11, 12, 13, 14)]
    names = [one.name for one in fields(moorings.Record)]
    return tuple(
        moorings.Record(*(np.concatenate([getattr(r, n) for r in each]) for n in names))
        for each in zip(*worlds, strict=True)
    )


@pytest.fixture(scope="module")
def papa(found: tuple[moorings.Record, ...]) -> moorings.Record:
    return found[0]


@pytest.fixture(scope="module")
def carolina(found: tuple[moorings.Record, ...]) -> moorings.Record:
    return found[1]


def variable(record: moorings.Record, name: str) -> np.ndarray:
    return {
        "wind": record.wind,
        "air": record.air,
        "humidity": 1000.0 * record.humidity,
        "gap": record.gap,
    }[name]


@pytest.mark.parametrize(
    ("name", "spread", "memories", "tolerance"),
    [
        ("wind", 3.6, (0.71, 0.45, 0.20, 0.07), 0.08),
        ("air", 1.5, (0.93, 0.86, 0.76, 0.65), 0.08),
        ("humidity", 1.0, (0.90, 0.77, 0.58, 0.41), 0.08),
        ("gap", 1.1, (0.86, 0.73, 0.53, 0.32), 0.08),
    ],
)
def test_spread_and_memory_at_papa(papa, name, spread, memories, tolerance):
    """Memory at 6, 12, 24 and 48 h; spread within 15 %."""
    values = variable(papa, name)
    np.testing.assert_allclose(moorings.memory(values), memories, atol=tolerance)
    assert moorings.anomaly(values).std() == pytest.approx(spread, rel=0.15)


def test_sst_less_air_temperature_at_papa(papa):
    found = np.percentile(papa.gap, [1, 50, 99])
    np.testing.assert_allclose(found, (-1.5, 0.4, 4.3), atol=0.5)


def test_sst_less_air_temperature_at_41002(carolina):
    """Cold outbreaks off the continent: the tail to 10.6 K."""
    found = np.percentile(carolina.gap, [1, 50, 99])
    np.testing.assert_allclose(found, (-1.0, 2.3, 10.6), atol=0.8)


def test_temperature_and_humidity_go_together(papa, carolina):
    for record, expected in ((papa, 0.79), (carolina, 0.88)):
        found = moorings.together(record.gap, record.humidity_gap)
        assert found == pytest.approx(expected, abs=0.05)


def test_the_air_temperature_is_visible_only_through_the_humidity(papa):
    """r(Ts-Ta, wind) -.02; what is left of Ts-Ta 1.11 K given SST and wind, .64 with Qa."""
    assert moorings.together(papa.gap, papa.wind) == pytest.approx(-0.02, abs=0.1)
    blind = moorings.residual(papa, knowing_humidity=False)
    sighted = moorings.residual(papa, knowing_humidity=True)
    assert blind == pytest.approx(1.11, abs=0.17)
    assert sighted == pytest.approx(0.64, abs=0.10)


def test_the_day_is_small(papa):
    """Mean range at PAPA: air .3 K, sea .1 K."""
    assert moorings.diurnal_range(papa.air) == pytest.approx(0.3, abs=0.08)
    assert moorings.diurnal_range(papa.sea) == pytest.approx(0.1, abs=0.06)
