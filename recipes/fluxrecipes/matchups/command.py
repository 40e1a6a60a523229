"""``fluxforge matchup``: reports from the sea beside the record."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fluxengine.show import Bars
    from fluxrecipes.matchups.beside import Beside
    from fluxrecipes.matchups.file import Stored


def matchup(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="Run file, such as `fluxforge run` takes.")
    ] = Path("run.yaml"),
    profile: Annotated[str | None, typer.Option("--profile", "-p", help="Of the run file.")] = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("matchups.nc"),
    within: Annotated[
        float, typer.Option(min=0, help="Hours between a report and the pass that saw its cell.")
    ] = 0.5,
    nominal: Annotated[
        float, typer.Option(min=0, help="Hours, where the cell was filled; 0 leaves such out.")
    ] = 3.0,
    limit: Annotated[
        float, typer.Option(min=0, help="Standard deviations from the month's mean of a region.")
    ] = 2.8,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--beside",
            metavar="NAME=DATASET",
            help="A daily product of the store, or a plain Zarr (*.zarr); several times.",
        ),
    ] = None,
    daily: Annotated[
        str, typer.Option(help="The record by days, to stand with what `--beside` names.")
    ] = "deepflux",
    simulated: Annotated[
        str,
        typer.Option(help="Of which simulated world all of it is, where no notice says so."),
    ] = "",
) -> None:
    """Bring reports from the sea together with the record, month by month on the cluster.

    Needs a store with deepflux-passes (`fluxforge run`) and the table of reports (`fluxforge ingest
    insitu`), over the period of the run file. Reports are brought to 10 m, and their fluxes
    computed, by COARE 3.6. Those that cannot be used are counted with the reason: heights of
    sensors, where nobody tells them, can be given in a `stations.csv` beside the report files.
    Each row of the file says whether it counts and why not (another copy of the same report,
    implausible, no value of the record), and to which set it belongs: training years, 2016-17, the
    test year 2018, or a withheld station (WHOTS, Stratus, NTAS). Where ships met in one cell, what
    a ship errs by is told from their differences, as `errors` of a train.yaml wants it.

    With `--beside`, daily products and the record's own days are also taken beside daily means of
    the reports, of platforms that reported in a cell in each quarter of a UTC day: `fluxforge
    validate` tells them on the days that all of them have, also by what the record's passes of the
    day were like: observed or filled, wind, cloud, vapour, sea surface temperature.

    Example: fluxforge matchup -c run.yaml --out matchups.nc

    Example: fluxforge matchup -c run.yaml --beside oaflux=comparison-oaflux --beside
    era5=comparison-era5
    """
    from fluxengine import clusters, show
    from fluxengine import config as configuration
    from fluxengine.errors import ConfigError
    from fluxengine.outages import check_file
    from fluxrecipes.matchups import beside, file, use
    from fluxrecipes.matchups import daily as of_days
    from fluxrecipes.matchups.matching import Rules
    from fluxrecipes.stored import opened, simulated_world, world_of_all

    run_file = configuration.load(config)
    chosen, period = run_file.profile(profile), run_file.period
    if period is None:
        raise ConfigError("it needs a period.", where=str(config), mend="Add `period`.")
    check_file(out)
    products = of_days.products_of(also or (), daily)
    rules = Rules(within, nominal)
    asked = beside.Asked(chosen.place, period.first, period.last, rules, products)
    reports = use.world_of_reports(asked.location, asked.months)  # before a cluster is waited for
    record = simulated_world(opened(chosen.place, beside.PASSES)[0])
    worlds = {of_days.RECORD: record, "reports": reports, **of_days.check(asked)}
    with clusters.mapper(chosen.cluster, show.notice) as mapped, show.bars("months") as progress:
        progress.begin("matchups", len(asked.months))
        parts = _counted(mapped(partial(of_days.of_month, asked), asked.months), progress)
        months = list(parts)
    used = sum((month.use for month in months), Counter[str]())
    found = beside.whole(month.found for month in months)
    if found is None:
        raise use.none_found(asked, used)
    sets = beside.sets_of(found.matchups)
    told = {
        "title": file.TITLE.format(first=period.first, last=period.last),
        "simulated": simulated or world_of_all(worlds) or "no",
        "source": str(asked.location),
        "reports": use.in_words(used),
    }
    verdicts = beside.verdicts(found, sets, limit)
    by_day = [month.days for month in months if month.days]
    days = of_days.judged(by_day, found.matchups, verdicts, sets)
    of_days.check_days(days, asked)
    stored = file.Stored(found, verdicts, sets, told, days)
    file.write(out, stored)
    _tell(stored, used)
    if days:
        names = ", ".join(name for name, _ in products)
        show.out.print(f"\n{len(days):,} days of platforms with reports all day, beside: {names}.")
    show.out.print(f"\nmatchups {out}", soft_wrap=True)


def _counted(parts: Iterator[Any], progress: Bars) -> Iterator[Any]:
    for part in parts:
        progress.advance("matchups")
        yield part


def _tell(stored: Stored, used: Counter[str]) -> None:
    """Counts: what becomes of reports and matchups and why, sets, and by satellite and feed."""
    from fluxengine import show
    from fluxrecipes.matchups import beside, counts, ships
    from fluxrecipes.tables import show_table

    rows = [(word, f"{number:,}") for word, number in used.most_common()]
    show.table("Reports of these days", ("what becomes of them", "#number"), rows)
    show.out.print()
    told = beside.counts(stored.verdicts, beside.VERDICTS)
    rows = [(word.replace("_", " "), f"{number:,}") for word, number in told.items()]
    show.table("Matchups", ("verdict", "#number"), rows)
    kept: Beside = stored.found.at(stored.verdicts == beside.KEPT)
    of_sets = beside.counts(stored.sets[stored.verdicts == beside.KEPT], beside.SETS)
    show.out.print()
    rows = [(word.replace("_", " "), f"{number:,}") for word, number in of_sets.items()]
    show.table("Kept, by set", ("set", "#number"), rows)
    show.out.print()
    show_table(counts.table(counts.counted(kept.matchups)))
    taught = (stored.verdicts == beside.KEPT) & (stored.sets == beside.TRAIN)
    of_ships = ships.of_pairs(stored.found.at(taught).matchups)  # a training may be told of it
    if of_ships is not None:
        show.out.print()
        show_table(ships.table(of_ships))
