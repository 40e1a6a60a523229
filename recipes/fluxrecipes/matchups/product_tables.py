"""Tables of daily products: on common days, by the state and conditions of these, and errors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fluxrecipes.matchups import cells, day_scores
from fluxrecipes.matchups.cells import SCORES
from fluxrecipes.matchups.day_scores import SET, OfProduct, Triple
from fluxrecipes.matchups.report import Validated
from fluxrecipes.matchups.scores import ALL
from fluxrecipes.tables import Section, Table

CONTRADICTED = 0.05  # share of resamples from which on a variance below zero is told


def of_products(found: Validated) -> Iterator[Section]:
    """Each product on common days, overall and by set."""
    title = f"Daily products against daily means of reports: {found.mark}"
    if found.days is None:
        there = found.stored.days is not None
        said = "There is no day that all of them and reports have." if there else NONE_BESIDE
        yield Section(title, before=(said,))
        return
    alone = ", ".join(f"{k} {n:,}" for k, n in day_scores.alone(found.days).items())
    heads = ("product", "height", SET, "#days", "#stations", *SCORES)
    yield Section(
        title,
        tuple(
            Table(
                _title(mine),
                heads,
                tuple(
                    (one.product, one.height, one.score.group, *cells.of_score(one.score))
                    for one in _in_groups(mine)
                    if one.score.by in (ALL, SET)
                ),
            )
            for mine in _by_variable(found)
        ),
        before=(f"Of {len(found.days):,} days of reports products have: {alone}.",),
        after=(
            "All products and variables are on the same days. Air at 2 m is compared with the"
            " reports' at 2 m. A day has no pass: passes are told of the record alone.",
        ),
    )


NONE_BESIDE = "None stands beside: `fluxforge matchup --beside NAME=DATASET` brings them in."


def of_conditions(found: Validated) -> Iterator[Section]:
    """Products on common days, by what the record's passes of the day were like."""
    if found.days is None:
        return
    several = list(_by_variable(found))
    yield Section(
        f"Daily products by fill state, wind, cloud, vapour and sea: {found.mark}",
        (*map(_side_by_side, several), *map(_in_full, several)),
        after=(
            "By what the record has: on the same days for all products. Of both passes the less"
            " direct state counts; wind, cloud liquid water, water vapour and sea surface"
            " temperature are means of the passes.",
        ),
    )


def _side_by_side(several: list[OfProduct]) -> Table:
    """A row for each group, a column for each product."""
    columns = dict.fromkeys((one.product, one.height) for one in several)
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for one in _by_condition(several):
        row = (cells.group(one.score), *cells.sample(one.score))
        rows.setdefault(row, {})[one.product] = cells.rmse_and_bias(one.score)
    products = (f"#{name}, {height}" if height else f"#{name}" for name, height in columns)
    return Table(
        f"{_title(several)}: root mean square error, and bias in brackets",
        ("group", "#days", "#stations", *products),
        tuple((*row, *(own[name] for name, _ in columns)) for row, own in rows.items()),
    )


def _in_full(several: list[OfProduct]) -> Table:
    """A row for each group and product, with intervals."""
    return Table(
        f"{_title(several)}: all figures",
        ("group", "product", "height", "#days", "#stations", *SCORES),
        tuple(
            (cells.group(one.score), one.product, one.height, *cells.of_score(one.score))
            for one in _in_groups(_by_condition(several))
        ),
        long=True,
    )


def _by_variable(found: Validated) -> Iterator[list[OfProduct]]:
    for variable in dict.fromkeys(one.score.variable for one in found.products):
        yield [one for one in found.products if one.score.variable == variable]


def _by_condition(several: list[OfProduct]) -> list[OfProduct]:
    return [one for one in several if one.score.by != SET]


def _in_groups(several: list[OfProduct]) -> list[OfProduct]:
    """Products of each group together."""
    order = list(dict.fromkeys((one.score.by, one.score.group) for one in several))
    return sorted(several, key=lambda one: order.index((one.score.by, one.score.group)))


def _title(several: list[OfProduct]) -> str:
    return f"{several[0].score.variable} [{several[0].score.units}]"


# --- errors of three -----------------------------------------------------------------------------


def of_triples(found: Validated) -> Iterator[Section]:
    """Errors of the record, the reports and each product, none of them taken for the truth."""
    if found.days is None:
        return
    title = f"Triple collocation: {found.mark}"
    if not found.triples:
        yield Section(title, before=("Too few days are common to the record and a product.",))
        return
    heads = ("variable", "with", "errors of", "#days", "#σ of error", "#95 %", "#r", "#95 %")
    rows = tuple(_errors(one, at) for one in found.triples for at in range(len(one.names)))
    after = [
        "r: with what all three have in common. It takes for granted that the errors of the three"
        " are independent of one another and of the truth: networks that learned from reports, and"
        " reanalyses that take reports in, are not, and their errors then seem too small. What a"
        " cell sees and a buoy does not counts as the buoy's error."
    ]
    if any(one.contradicted for one in found.triples):
        after.append(
            "CONTRADICTED: a variance of errors is below zero. The errors of these three are not"
            " independent, or one is too small for so few days: trust none of the three."
        )
    table = Table("Errors in °C, g/kg, W/m²", (*heads, "#scale", "assumptions"), rows)
    yield Section(title, (table,), after=tuple(after))


def _errors(one: Triple, at: int) -> tuple[str, ...]:
    """A row of one of the three."""
    told, digits = one.found, cells.digits_of(one.units)
    return (
        one.variable,
        one.names[2],
        one.names[at],
        f"{told.points:,}",
        cells.value(told.error[at], digits) or f"variance {told.variance[at]:.3g}",
        cells.limits(told.error[at], digits),
        cells.value(told.correlation[at], 3),
        cells.limits(told.correlation[at], 3),
        cells.value(told.scale[at], 3),
        _doubt(told.variance[at], told.contradicted[at]),
    )


def _doubt(variance: float, share: float) -> str:
    """What speaks against independent errors."""
    if variance < 0 or not np.isfinite(variance):
        return "CONTRADICTED"
    if share > CONTRADICTED:
        return f"doubtful: variance below zero in {100 * share:.0f} % of resamples"
    return ""
