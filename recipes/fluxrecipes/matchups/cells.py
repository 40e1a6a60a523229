"""Scores as the cells of a table."""

from __future__ import annotations

import numpy as np

from fluxkernels.stats.agreement import Agreement, Interval
from fluxrecipes.matchups.scores import ALL, Score

SCORES = ("#RMSE", "#95 %", "#bias", "#95 %", "#r", "#centred", "#σ", "#σ of reports")
OF_GROUPS = (
    *("group", "#points", "#stations", "#RMSE", "#95 %", "#bias", "#95 %"),
    *("#r", "#centred", "#σ ratio", "#slope", "#95th", "#99th"),
)


def of_group(one: Score) -> tuple[str, ...]:
    """Cells under `OF_GROUPS`."""
    agreed, digits = one.agreement, digits_of(one.units)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.divide(agreed.spread.value, agreed.spread_of_reference.value)
    return (
        group(one),
        *sample(one),
        *_error(agreed, digits),
        value(agreed.correlation, 3),
        value(agreed.centred, digits),
        number(ratio, 3),
        value(agreed.slope, 3),
        number(agreed.p95, digits, "+"),
        number(agreed.p99, digits, "+"),
    )


def of_score(one: Score) -> tuple[str, ...]:
    """Points, stations, and cells under `SCORES`."""
    return *sample(one), *of_agreement(one.agreement, one.units)


def sample(one: Score) -> tuple[str, str]:
    """Points and stations."""
    return f"{one.agreement.points:,}", str(one.agreement.clusters)


def of_agreement(agreed: Agreement, units: str) -> tuple[str, ...]:
    """Cells under `SCORES`."""
    digits = digits_of(units)
    return (
        *_error(agreed, digits),
        value(agreed.correlation, 3),
        value(agreed.centred, digits),
        value(agreed.spread, digits),
        value(agreed.spread_of_reference, digits),
    )


def rmse_and_bias(one: Score) -> str:
    """In one cell, bias in brackets; empty where there is neither."""
    agreed, digits = one.agreement, digits_of(one.units)
    rmse, bias = value(agreed.rmse, digits), value(agreed.bias, digits, "+")
    return f"{rmse} ({bias})" if rmse else ""


def group(one: Score) -> str:
    """Which group, and by what."""
    return ALL if one.by == ALL else f"{one.by}: {one.group}"


def _error(agreed: Agreement, digits: int) -> tuple[str, str, str, str]:
    return (
        value(agreed.rmse, digits),
        limits(agreed.rmse, digits),
        value(agreed.bias, digits, "+"),
        limits(agreed.bias, digits, "+"),
    )


def digits_of(units: str) -> int:
    """Decimals that are told of a unit."""
    return 3 if units in ("°C", "g/kg", "m/s") else 2


def value(interval: Interval, digits: int, sign: str = "") -> str:
    """The number of an interval; empty where there is none."""
    return number(interval.value, digits, sign)


def limits(interval: Interval, digits: int, sign: str = "") -> str:
    """From where to where; empty where there are no limits."""
    low, high = (number(one, digits, sign) for one in (interval.low, interval.high))
    return f"{low} to {high}" if low and high else ""


def number(told: float, digits: int, sign: str = "") -> str:
    """A number; empty where there is none."""
    return f"{told:{sign}.{digits}f}" if np.isfinite(told) else ""
