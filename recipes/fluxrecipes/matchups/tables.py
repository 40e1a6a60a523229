"""What validation against reports found, as tables: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fluxrecipes.matchups import cells, counts, published, scores, wind
from fluxrecipes.matchups.cells import OF_GROUPS, SCORES
from fluxrecipes.matchups.daily import RECORD
from fluxrecipes.matchups.pictures import VARIABLES
from fluxrecipes.matchups.product_tables import of_conditions, of_products, of_triples
from fluxrecipes.matchups.report import Validated
from fluxrecipes.matchups.scores import ALL
from fluxrecipes.tables import Section, Table


def sections(found: Validated) -> Iterator[Section]:
    """All that is told in tables, in the order in which it is told."""
    yield _together(found)
    yield _table_4(found)
    yield _groups(found)
    yield _wind(found)
    yield from of_products(found)
    yield from of_conditions(found)
    yield from of_triples(found)
    yield _stations(found)


def _together(found: Validated) -> Section:
    """How many matchups, and all of them together."""
    overall = [one for one in found.scores if one.by == ALL]
    rows = tuple((one.variable, one.units, *cells.of_group(one)[1:]) for one in overall)
    before = [found.stored.origin]
    if found.opened_before is not None:
        before.append(f"Held out: opened {found.opened_before} times before this.")
    return Section(
        f"Record against reports from the sea: {found.world}",
        (
            counts.table(found.counts),
            Table("All matchups together", ("variable", "unit", *OF_GROUPS[1:]), rows),
        ),
        before=tuple(before),
    )


def _table_4(found: Validated) -> Section:
    """The paper's table 4 with its published figures, and ours beside."""
    return Section(
        f"Table 4 of the paper, and the same {found.mark}",
        (
            _beside_published(found, "rmse", "Root mean square error"),
            _beside_published(found, "correlation", "Correlation"),
        ),
        after=(
            f"Published: {published.PAPER}; of real reports of 1992 to 2020 and of other cells and"
            " days: they stand beside ours, and are no common sample.",
        ),
    )


def _beside_published(found: Validated, what: str, title: str) -> Table:
    names = (published.AIR, published.HUMIDITY, published.SENSIBLE, published.LATENT)
    heads = ("dataset", "figures", "#Ta [°C]", "#Qa [g/kg]", "#SHF [W/m²]", "#LHF [W/m²]")
    rows: list[tuple[str, ...]] = []
    for row in published.TABLE_4:
        given = getattr(row, what)
        values = (f"{given[name]:.2f}" if name in given else "" for name in names)
        rows.append((f"{row.product} {row.orbit}".strip(), published.MARK, *values))
    for group, by in (("ascending", "pass"), ("descending", "pass"), (ALL, ALL)):
        agreed = [scores.one(found.scores, v, by, group) for v in VARIABLES]
        values = (cells.value(getattr(a, what), 2) if a else "" for a in agreed)
        label = "both passes" if group == ALL else group
        rows.append((f"this record, {label}", found.mark, *values))
    for product in dict.fromkeys(one.product for one in found.products):
        own = {
            one.score.variable: cells.value(getattr(one.score.agreement, what), 2)
            for one in found.products
            if one.product == product and one.score.by == ALL
        }
        label = "this record" if product == RECORD else product
        rows.append((f"{label}, days", found.mark, *(own.get(v, "") for v in VARIABLES)))
    return Table(title, heads, tuple(rows))


def _groups(found: Validated) -> Section:
    """Each variable of the record by pass, state, conditions and so on."""
    return Section(
        f"The record by pass, fill state, satellite, place and conditions: {found.mark}",
        tuple(
            Table(
                f"{variable} [{several[0].units}]",
                OF_GROUPS,
                tuple(cells.of_group(one) for one in several),
            )
            for variable, several in scores.by_variable(found.scores).items()
        ),
        after=(
            "All variables of a group are on the same points. 95 %: by resampling whole stations."
            " σ ratio: standard deviation of the record over the reports'. 95th, 99th: percentiles"
            " of the record less the reports'.",
        ),
    )


def _wind(found: Validated) -> Section:
    """The satellites' wind by satellite and thirds, before and after its correction."""
    title = f"Equivalent neutral wind of observed cells: {found.mark}"
    if not found.wind:
        return Section(title, before=("No matchup is of an observed cell with wind.",))
    order = dict.fromkeys((one.by, one.group) for one in found.wind)
    rows = tuple(
        (by, group, _when(one.variable), *cells.of_score(one))
        for by, group in order
        for one in found.wind
        if (one.by, one.group) == (by, group)
    )
    heads = ("satellite", "wind", "correction", "#points", "#stations", *SCORES)
    corrected = any(one.variable == wind.AFTER for one in found.wind)
    more = "" if corrected else " The record holds no corrected wind: `correct: wind` makes it."
    said = f"Thirds are of the mean of the satellite's and the report's wind.{more}"
    table = Table("Wind by satellite, before and after its correction [m/s]", heads, rows)
    return Section(title, (table,), after=(said,))


def _when(variable: str) -> str:
    return "after" if variable == wind.AFTER else "before"


# --- stations ------------------------------------------------------------------------------------


def _stations(found: Validated) -> Section:
    """Monthly means at stations, published figures marked as such."""
    title = f"Monthly means at stations: {found.mark}"
    if not found.series:
        return Section(title, before=("No station has a month with enough matchups.",))
    names = list(dict.fromkeys(one.station for one in found.series))
    after = ["95 %: of monthly means, by resampling years."]
    if {one.station for one in published.STATIONS} & set(names):
        after.append(f"Published: {published.STATIONS_PAPER}; of other months than ours.")
    return Section(title, tuple(_at_station(found, one) for one in names), after=tuple(after))


def _at_station(found: Validated, station: str) -> Table:
    rows = [
        (
            one.variable,
            one.name,
            one.height,
            found.mark,
            str(one.agreement.points),
            *cells.of_agreement(one.agreement, one.units),
        )
        for one in found.series
        if one.station == station
    ]
    nothing = ("",) * (len(SCORES) - 1)
    given = [
        (one.variable, one.series, "", published.MARK, "", f"{one.rmse:.2f}", *nothing)
        for one in published.STATIONS
        if one.station == station
    ]
    heads = ("variable", "series", "height", "figures", "#months", *SCORES)
    title = f"{station}: monthly means, in °C, g/kg, W/m²"
    return Table(title, heads, _by_variable(rows, given))


def _by_variable(
    ours: Iterable[tuple[str, ...]], theirs: Sequence[tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    """Rows of each variable, published ones after ours."""
    made = [*ours, *theirs]
    order = list(dict.fromkeys(row[0] for row in made))
    return tuple(sorted(made, key=lambda row: order.index(row[0])))
