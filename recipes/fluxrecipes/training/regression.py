"""The baseline retrieval: fitted on the simulated world, kept with a card of its making.

``python -m fluxrecipes.training.regression`` fits it anew and writes the weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fluxkernels.regression import QuadraticRegression, fit
from fluxrecipes.nature import instruments, land
from fluxrecipes.nature.fields import Points, hours_since_epoch
from fluxrecipes.nature.orbits import F17, Pass
from fluxrecipes.nature.world import World
from fluxrecipes.stages.retrieve import SHIPPED

Array = NDArray[np.float64]

WEIGHTS = SHIPPED / "regression.json"
TRAINING_SEED, HELD_OUT_SEED = 1, 2
TRAINING_YEARS, HELD_OUT_YEARS = (2007, 2015), (2016, 2017)  # 2018 is the year of tests
_DAYS, _HELD_OUT_DAYS, _POINTS = 144, 48, 700
_LOWEST_COUNT = 8  # of 16 cells of 0.25°, as the products ask of a 1° mean


class Sample(NamedTuple):
    """Satellite inputs and true air over 1° cells; arrays of one length."""

    wind: Array
    """10-m neutral wind as retrieved, m s-1."""
    vapour: Array
    """kg m-2, as retrieved."""
    sst: Array
    """K, of the analysis."""
    air_temperature: Array
    """K at 10 m, true."""
    specific_humidity: Array
    """kg kg-1 at 10 m, true."""
    latitude: Array
    """Degrees north."""


def training_sample(
    world: World,
    days: Sequence[np.datetime64],
    points_a_day: int,
    rng: np.random.Generator,
) -> Sample:
    """Draw 1° cells of open sea between 65 S and 65 N, as a satellite sees them.

    Each cell's sixteen 0.25° cells are observed with all errors and losses and averaged where
    at least half of them have a value; its truth is their mean at the time of observation.

    Parameters
    ----------
    world : World
    days : sequence of numpy.datetime64
        UTC days; each takes one pass, ascending or descending by turns.
    points_a_day : int
        Cells drawn a day; those lost to ice, coast or rain are left out.
    rng : numpy.random.Generator
    """
    parts = [
        _one_day(world, day, ("ascending", "descending")[i % 2], points_a_day, rng)
        for i, day in enumerate(days)
    ]
    return Sample(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _one_day(
    world: World, day: np.datetime64, which: Pass, count: int, rng: np.random.Generator
) -> Sample:
    row, column = _draw_cells(count, rng)
    local = F17.local_hour(which, day) + rng.uniform(-1.4, 1.4, (count, 1))
    start = hours_since_epoch(day.astype("datetime64[D]"))
    hours = start + np.mod(local - (0.125 + 0.25 * column) / 15.0, 24.0)
    points = Points(row.ravel(), (0.125 + 0.25 * column).ravel().astype("f4"), hours.ravel())
    truth = world.state(points)
    number = instruments.pass_number(day, which)
    errors = instruments.Errors.of_pass(world, F17.instrument.prefix, number, points)
    seen = instruments.retrieve(truth, errors, world.physics.observation_error)
    sst = instruments.analysed_sst(world, day)["sst"][row, column] + 273.15
    bad = (truth.sea_ice_fraction > 0.15).reshape(row.shape)
    bad |= land.rss_coast()[row, column] | land.rss_land()[row, column] | ~np.isfinite(sst)
    inputs = [
        _mean(np.where(bad, np.nan, values.reshape(row.shape)))
        for values in (seen["wind_speed"], seen["water_vapour"], sst)
    ]
    labels = [
        values.reshape(row.shape).mean(axis=1, dtype="f8")
        for values in (truth.air_temperature, truth.specific_humidity, points.latitude)
    ]
    keep = np.isfinite(np.stack(inputs)).all(axis=0)
    return Sample(*(values[keep] for values in (*inputs, *labels)))


def _draw_cells(count: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the sixteen cells of `count` 1° cells, area-weighted: (count, 16)."""
    south, west = np.nonzero(land.sea_cells()[25:155])
    weight = np.cos(np.radians(south + 25 - 89.5))
    drawn = rng.choice(south.size, count, p=weight / weight.sum())
    inner_row, inner_column = np.divmod(np.arange(16), 4)
    row = 4 * (south[drawn] + 25)[:, None] + inner_row
    return row, 4 * west[drawn][:, None] + inner_column


def _mean(values: NDArray[Any]) -> Array:
    """Mean of the valid ones of each row; NaN below the count asked for."""
    valid = np.isfinite(values)
    count = valid.sum(axis=1)
    total = np.where(valid, values, 0.0).sum(axis=1, dtype="f8")
    return np.where(count >= _LOWEST_COUNT, total / np.maximum(count, 1), np.nan)


def draw_days(years: tuple[int, int], count: int, rng: np.random.Generator) -> list[np.datetime64]:
    """Days spread over the seasons of a range of years, both ends included."""
    first = np.datetime64(f"{years[0]}-01-01")
    span = int((np.datetime64(f"{years[1] + 1}-01-01") - first) / np.timedelta64(1, "D"))
    edges = np.linspace(0, span, count + 1)
    return [first + int(rng.uniform(low, high)) for low, high in pairwise(edges)]


def train(days: int = _DAYS, points_a_day: int = _POINTS) -> tuple[QuadraticRegression, Sample]:
    """Fit the regression on the training world; also give the sample it was fitted on."""
    rng = np.random.default_rng(TRAINING_SEED)
    sample = training_sample(
        World(TRAINING_SEED), draw_days(TRAINING_YEARS, days, rng), points_a_day, rng
    )
    return fit(*sample[:5]), sample


def held_out_sample(days: int = _HELD_OUT_DAYS, points_a_day: int = _POINTS) -> Sample:
    """Sample of another world in other years."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    chosen = draw_days(HELD_OUT_YEARS, days, rng)
    return training_sample(World(HELD_OUT_SEED), chosen, points_a_day, rng)


def skill(model: QuadraticRegression, sample: Sample) -> dict[str, float]:
    """RMSE and bias of a regression on a sample: K and g/kg."""
    air, humidity = model.predict(sample.wind, sample.vapour, sample.sst)
    warm = air - sample.air_temperature
    moist = 1000.0 * (humidity - sample.specific_humidity)
    return {
        "air_temperature_rmse_K": _rms(warm),
        "air_temperature_bias_K": float(warm.mean()),
        "specific_humidity_rmse_g_kg-1": _rms(moist),
        "specific_humidity_bias_g_kg-1": float(moist.mean()),
    }


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def write(path: Path = WEIGHTS) -> dict[str, Any]:
    """Fit, test on the held-out world, and write weights and card as JSON."""
    model, sample = train()
    held_out = held_out_sample()
    card = {
        "model": "quadratic regression of SST minus air temperature and of logit relative humidity",
        "trained on": "simulated world",
        "world": {"seed": TRAINING_SEED, "years": TRAINING_YEARS, "samples": len(sample.wind)},
        "inputs": {
            "wind": "10-m equivalent neutral wind as retrieved, m s-1",
            "vapour": "column water vapour as retrieved, kg m-2",
            "sst": "analysed sea surface temperature, K",
        },
        "outputs": {
            "air_temperature": "K at 10 m",
            "specific_humidity": "kg kg-1 at 10 m, at most 98 % of saturation over sea water",
        },
        "outside the training range": "inputs are held at the ends of the range",
        "held out": {
            "seed": HELD_OUT_SEED,
            "years": HELD_OUT_YEARS,
            "samples": len(held_out.wind),
            **{name: round(value, 4) for name, value in skill(model, held_out).items()},
        },
        "coefficients": {name: getattr(model, name) for name in model.__dataclass_fields__},
    }
    path.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card


if __name__ == "__main__":
    print(json.dumps(write()["held out"], indent=1))
