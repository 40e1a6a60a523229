"""What validation against reports found, as tables for the eye."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fluxengine import show
from fluxkernels.stats.agreement import Agreement, Interval
from fluxrecipes.matchups import counts, day_scores, pictures, published, scores, wind
from fluxrecipes.matchups.daily import RECORD
from fluxrecipes.matchups.day_scores import Triple
from fluxrecipes.matchups.report import Validated
from fluxrecipes.matchups.scores import ALL, Score

SCORES = ("#RMSE", "95 %", "#bias", "95 %", "#r", "#centred", "#σ", "#σ of reports")
HEADS = (
    *("by", "group", "#points", "#stations", "#RMSE", "95 %", "#bias", "95 %"),
    *("#r", "#centred", "#σ ratio", "#slope", "#95th", "#99th"),
)
CONTRADICTED = 0.05  # share of resamples from which on a variance below zero is told


def tables(found: Validated) -> None:
    """Print what was found."""
    show.out.print(f"[bold]Record against reports from the sea[/]: {found.world}")
    if found.opened_before is not None:
        show.out.print(f"Held out: opened {found.opened_before} times before this.")
    counts.table(found.counts)
    _as_table_4(found)
    for variable, several in scores.by_variable(found.scores).items():
        unit = several[0].units
        show.out.print()
        show.table(f"{variable} [{unit}]", HEADS, [row(one) for one in several], wide=True)
    show.out.print(
        "\nAll variables of a group are on the same points. 95 %: by resampling whole stations."
        " σ ratio: standard deviation of the record over the reports'. 95th, 99th: percentiles of"
        " the record less the reports'."
    )
    _wind(found)
    _products(found)
    _triples(found)
    _stations(found)


def row(one: Score) -> tuple[str, ...]:
    """Cells of a table with `HEADS`."""
    agreed = one.agreement
    digits = _digits(one.units)
    reported = agreed.spread_of_reference.value
    ratio = agreed.spread.value / reported if reported else float("nan")
    return (
        one.by,
        "" if one.group == ALL else one.group,
        f"{agreed.points:,}",
        str(agreed.clusters),
        _number(agreed.rmse.value, digits),
        _range(agreed.rmse, digits),
        _number(agreed.bias.value, digits, "+"),
        _range(agreed.bias, digits, "+"),
        _number(agreed.correlation.value, 3),
        _number(agreed.centred.value, digits),
        _number(ratio, 3),
        _number(agreed.slope.value, 3),
        _number(agreed.p95, digits, "+"),
        _number(agreed.p99, digits, "+"),
    )


def _digits(units: str) -> int:
    return 3 if units in ("°C", "g/kg", "m/s") else 2


def _number(value: float, digits: int, sign: str = "") -> str:
    """Empty where there is none, as of a single point."""
    return f"{value:{sign}.{digits}f}" if np.isfinite(value) else ""


def _range(interval: Interval, digits: int, sign: str = "") -> str:
    if not np.isfinite(interval.low):
        return ""
    return f"{interval.low:{sign}.{digits}f} to {interval.high:{sign}.{digits}f}"


def _as_table_4(found: Validated) -> None:
    """The paper's table 4 with its published figures, and ours beside."""
    names = (published.AIR, published.HUMIDITY, published.SENSIBLE, published.LATENT)
    heads = ("dataset", "figures", "#Ta [°C]", "#Qa [g/kg]", "#SHF [W/m²]", "#LHF [W/m²]")
    for what in ("rmse", "correlation"):
        rows: list[tuple[str, ...]] = []
        for row in published.TABLE_4:
            given = getattr(row, what)
            values = (f"{given[name]:.2f}" if name in given else "" for name in names)
            rows.append((f"{row.product} {row.orbit}".strip(), "published", *values))
        for group, by in (("ascending", "pass"), ("descending", "pass"), (ALL, ALL)):
            agreed = [scores.one(found.scores, v, by, group) for v in pictures.VARIABLES]
            values = (_number(getattr(a, what).value, 2) if a else "" for a in agreed)
            label = "both passes" if group == ALL else group
            rows.append((f"this record, {label}", found.world, *values))
        for product in dict.fromkeys(one.product for one in found.products):
            own = {
                one.score.variable: getattr(one.score.agreement, what).value
                for one in found.products
                if one.product == product and one.score.by == ALL
            }
            values = (_number(own[v], 2) if v in own else "" for v in pictures.VARIABLES)
            label = "this record" if product == RECORD else product
            rows.append((f"{label}, days", found.world, *values))
        show.out.print()
        title = "RMSE" if what == "rmse" else "correlation"
        show.table(f"{title}; published: {published.PAPER}", heads, rows, wide=True)
    show.out.print(
        "Published figures are of real reports of 1992 to 2020 and of other cells and days: they"
        " stand beside ours, and are no common sample."
    )


# --- wind ----------------------------------------------------------------------------------------


def _wind(found: Validated) -> None:
    """The satellites' wind by satellite and thirds, before and after its correction."""
    if not found.wind:
        return
    groups = dict.fromkeys((one.by, one.group) for one in found.wind)
    rows = [
        (by, "" if group == ALL else group, _when(one.variable), *_scores(one))
        for by, group in groups
        for one in found.wind
        if (one.by, one.group) == (by, group)
    ]
    show.out.print()
    heads = ("satellite", "wind", "correction", "#points", "#stations", *SCORES)
    title = f"Equivalent neutral wind of observed cells [m/s]: {found.world}"
    show.table(title, heads, rows, wide=True)
    corrected = any(one.variable == wind.AFTER for one in found.wind)
    more = "" if corrected else " The record holds no corrected wind: `correct: wind` makes it."
    show.out.print(f"Thirds are of the mean of the satellite's and the report's wind.{more}")


def _when(variable: str) -> str:
    return "after" if variable == wind.AFTER else "before"


def _scores(one: Score) -> tuple[str, ...]:
    """Cells of `SCORES`, with points and stations before."""
    agreed = one.agreement
    return f"{agreed.points:,}", str(agreed.clusters), *_of(agreed, one.units)


def _of(agreed: Agreement, units: str) -> tuple[str, ...]:
    digits = _digits(units)
    return (
        _number(agreed.rmse.value, digits),
        _range(agreed.rmse, digits),
        _number(agreed.bias.value, digits, "+"),
        _range(agreed.bias, digits, "+"),
        _number(agreed.correlation.value, 3),
        _number(agreed.centred.value, digits),
        _number(agreed.spread.value, digits),
        _number(agreed.spread_of_reference.value, digits),
    )


# --- daily products ------------------------------------------------------------------------------


def _products(found: Validated) -> None:
    """Each product on common days, overall and by set."""
    if found.days is None:
        if found.stored.days is not None:
            show.out.print("\nDaily products: there is no day that all of them and reports have.")
        return
    show.out.print(f"\n[bold]Daily products against daily means of reports[/]: {found.world}")
    alone = ", ".join(f"{k} {n:,}" for k, n in day_scores.alone(found.days).items())
    show.out.print(f"Of {len(found.days):,} days of reports products have: {alone}.")
    scored = [one.score for one in found.products]
    for variable, several in scores.by_variable(scored).items():
        mine = [one for one in found.products if one.score.variable == variable]
        groups = dict.fromkeys((one.score.by, one.score.group) for one in mine)
        rows = [
            ("" if by == ALL else group, one.product, one.height, *_scores(one.score))
            for by, group in groups
            for one in mine
            if (one.score.by, one.score.group) == (by, group)
        ]
        show.out.print()
        heads = ("set", "product", "height", "#days", "#stations", *SCORES)
        show.table(f"{variable} [{several[0].units}]", heads, rows, wide=True)
    show.out.print(
        "All products and variables are on the same days. Air at 2 m is compared with the reports'"
        " at 2 m."
    )


def _triples(found: Validated) -> None:
    """Errors of the record, the reports and each product, none of them taken for the truth."""
    if not found.triples:
        return
    rows = [_errors(one, at) for one in found.triples for at in range(len(one.names))]
    show.out.print()
    heads = ("variable", "with", "errors of", "#days", "#σ of error", "95 %", "#r", "95 %")
    title = f"Triple collocation, errors in °C, g/kg, W/m²: {found.world}"
    show.table(title, (*heads, "#scale", "assumptions"), rows, wide=True)
    show.out.print(
        "r: with what all three have in common. It takes for granted that the errors of the three"
        " are independent of one another and of the truth: networks that learned from reports, and"
        " reanalyses that take reports in, are not, and their errors then seem too small. What a"
        " cell sees and a buoy does not counts as the buoy's error."
    )
    if any(one.contradicted for one in found.triples):
        show.out.print(
            "[bold]CONTRADICTED[/]: a variance of errors is below zero. The errors of these three"
            " are not independent, or one is too small for so few days: trust none of the three."
        )


def _errors(one: Triple, at: int) -> tuple[str, ...]:
    """A row of one of the three."""
    told, digits = one.found, _digits(one.units)
    return (
        one.variable,
        one.names[2],
        one.names[at],
        f"{told.points:,}",
        _number(told.error[at].value, digits) or f"variance {told.variance[at]:.3g}",
        _range(told.error[at], digits),
        _number(told.correlation[at].value, 3),
        _range(told.correlation[at], 3),
        _number(told.scale[at].value, 3),
        _doubt(told.variance[at], told.contradicted[at]),
    )


def _doubt(variance: float, share: float) -> str:
    """What speaks against independent errors."""
    if variance < 0 or not np.isfinite(variance):
        return "CONTRADICTED"
    if share > CONTRADICTED:
        return f"doubtful: variance below zero in {100 * share:.0f} % of resamples"
    return ""


# --- stations ------------------------------------------------------------------------------------


def _stations(found: Validated) -> None:
    """Monthly means at stations, published figures marked as such."""
    if not found.series:
        show.out.print("\nMonthly means: no station has a month with enough matchups.")
        return
    for station in dict.fromkeys(one.station for one in found.series):
        rows = [
            (
                one.variable,
                one.name,
                one.height,
                found.world,
                str(one.agreement.points),
                *_of(one.agreement, one.units),
            )
            for one in found.series
            if one.station == station
        ]
        given = [
            (one.variable, one.series, "", "published", "", f"{one.rmse:.2f}")
            for one in published.STATIONS
            if one.station == station
        ]
        filled = [(*row, *[""] * (len(SCORES) - 1)) for row in given]
        show.out.print()
        heads = ("variable", "series", "height", "figures", "#months", *SCORES)
        title = f"{station}: monthly means, in °C, g/kg, W/m²"
        show.table(title, heads, _together(rows, filled), wide=True)
    show.out.print("95 %: of monthly means, by resampling years.")
    if any(one.station in {p.station for p in published.STATIONS} for one in found.series):
        show.out.print(f"Published: {published.STATIONS_PAPER}; of other months than ours.")


def _together(
    ours: Iterable[tuple[str, ...]], theirs: Sequence[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """Rows of each variable, published ones after ours."""
    made = [*ours, *theirs]
    order = list(dict.fromkeys(row[0] for row in made))
    return sorted(made, key=lambda row: order.index(row[0]))
