"""``fluxforge matchup``: reports from the sea beside the record."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
        float, typer.Option(help="Hours between a report and the pass that saw its cell.")
    ] = 0.5,
    nominal: Annotated[
        float, typer.Option(help="Hours, where the cell was filled; 0 leaves such cells out.")
    ] = 3.0,
    limit: Annotated[
        float, typer.Option(help="Standard deviations from the month's mean of a region.")
    ] = 2.8,
    simulated: Annotated[
        str,
        typer.Option(help="Of which simulated world the record is, where its notice says none."),
    ] = "",
) -> None:
    """Bring reports from the sea together with the record, month by month on the cluster.

    Needs a store with deepflux-passes (`fluxforge run`) and the table of reports (`fluxforge ingest
    insitu`), over the period of the run file. Reports are brought to 10 m, and their fluxes
    computed, by COARE 3.6. Each row of the file says whether it counts and why not (another copy of
    the same report, implausible, no value of the record), and to which set it belongs: training
    years, 2016-17, the test year 2018, or a withheld station (WHOTS, Stratus, NTAS).

    Example: fluxforge matchup -c run.yaml --out matchups.nc
    """
    from fluxengine import clusters, show
    from fluxengine import config as configuration
    from fluxengine.errors import ConfigError
    from fluxrecipes.matchups import beside, file
    from fluxrecipes.matchups.matching import Rules
    from fluxrecipes.stored import opened, simulated_world

    run_file = configuration.load(config)
    chosen, period = run_file.profile(profile), run_file.period
    if period is None:
        raise ConfigError("it needs a period.", where=str(config), mend="Add `period`.")
    asked = beside.Asked(chosen.place, period.first, period.last, Rules(within, nominal))
    beside.check_reports(asked.location, asked.months)  # before a cluster is waited for
    with clusters.mapper(chosen.cluster, show.notice) as mapped, show.bars("months") as progress:
        progress.begin("matchups", len(asked.months))
        parts = mapped(partial(beside.of_month, asked), asked.months)
        found = beside.whole(_counted(parts, progress))
    if found is None:
        raise ConfigError(
            "no report lies in a cell of a pass of these days.",
            where=str(asked.location),
            mend="Run deepflux-passes for the period, or widen `--within` and `--nominal`.",
        )
    sets = beside.sets_of(found.matchups)
    told = {
        "title": f"Reports from the sea beside deepflux, {period.first} to {period.last}",
        "simulated": simulated or simulated_world(opened(chosen.place, beside.PASSES)[0]) or "no",
        "source": str(asked.location),
    }
    stored = file.Stored(found, beside.verdicts(found, sets, limit), sets, told)
    file.write(out, stored)
    _tell(stored)
    show.out.print(f"\nmatchups {out}", soft_wrap=True)


def _counted(parts: Iterator[Beside | None], progress: Bars) -> Iterator[Beside | None]:
    for part in parts:
        progress.advance("matchups")
        yield part


def _tell(stored: Stored) -> None:
    """Counts: why some do not count, sets, and by satellite and feed."""
    import numpy as np

    from fluxengine import show
    from fluxrecipes.matchups import beside, file
    from fluxrecipes.sources.reports import FEEDS

    told = beside.counts(stored.verdicts, beside.VERDICTS)
    rows = [(word.replace("_", " "), f"{number:,}") for word, number in told.items()]
    show.table("Matchups", ("verdict", "#number"), rows)
    kept: Beside = stored.found.at(stored.verdicts == beside.KEPT)
    of_sets = beside.counts(stored.sets[stored.verdicts == beside.KEPT], beside.SETS)
    show.out.print()
    rows = [(word.replace("_", " "), f"{number:,}") for word, number in of_sets.items()]
    show.table("Kept, by set", ("set", "#number"), rows)
    satellites = np.unique(kept.matchups.satellite)
    heads = ("satellite", *(f"#{name}" for name in FEEDS.values()), "#platforms")
    names = file.satellites(satellites)
    by_satellite: list[tuple[str, ...]] = []
    for code in satellites:
        mine = kept.matchups.at(kept.matchups.satellite == code)
        numbers = (f"{int((mine.feed == feed).sum()):,}" for feed in FEEDS)
        by_satellite.append((names[int(code)], *numbers, f"{len(np.unique(mine.platform)):,}"))
    show.out.print()
    show.table("Kept, by satellite and feed", heads, by_satellite)
