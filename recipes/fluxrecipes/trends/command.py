"""``fluxforge trends``: what the record is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fluxrecipes.trends.report import Files


def trends(
    config: Annotated[Path, typer.Option("--config", "-c", help="Trends of what.")] = Path(
        "trends.yaml"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    r"""Trends per decade of a monthly record: maps, regions, tests, and what contributes to them.

    A trends.yaml names the store and, where it is not deepflux-monthly, the dataset:

      store: store
      passes: deepflux-monthly-passes      # also by pass, and their difference
      period: {first: 1992-01-01, last: 2020-12-31}
      variables: \[latent_heat_flux, sensible_heat_flux, sea_minus_air_humidity]
      regions: {Indian Ocean: {south: -30, north: 20, west: 40, east: 100}}
      out: trends

    What a reviewer asks, each with one line more:

      of: months                           # or days, of a daily dataset: maps and regions alone
      steps: \[2000-05-08]                  # fit jumps where satellites change
      overlaps: \[{on: 2000-05-08, before: {store: f11-store}, after: {store: f13-store}}]
      without_enso: true                   # take relative Niño 3.4 out
      reanalysis_at_most: 0.2              # leave out months with more of a reanalysis
      leave_out: \[2016]                    # years
      beside: {oaflux: {store: other, dataset: ...}}
      recovered: recovery/recovery.nc      # crosses where a trend cannot be observed

    `overlaps` takes away the offsets found in the months in which both flew. `beside` tells other
    records' trends on the same cells and years: another SST product, other fluxes, the record with
    each satellite left out in turn (a store for each, with the others as `sensors`). `recovered` is
    made by `fluxforge recovery`.

    Monthly means are a product: `fluxforge products deepflux-monthly --run-file > monthly.yaml`,
    then `fluxforge run -c monthly.yaml`. A revised day makes its month again, and no other.

    Example: fluxforge trends -c trends.yaml
    """
    from fluxengine import show
    from fluxrecipes.trends import document, report, settings

    asked = settings.load(config)
    found = document.of(asked, tell=lambda line: show.notice(line))
    files = report.write(found)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2, allow_nan=False))
        return
    report.tables(found)
    _told(files)


def recovery(
    config: Annotated[Path, typer.Option("--config", "-c", help="Which worlds.")] = Path(
        "recovery.yaml"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    r"""How much of a known trend the record gives back, in simulated worlds.

    Worlds of one seed have the same weather and the same passes; their records differ by their
    trends alone. A few days of early and late years are enough, the same in all worlds:

      fluxforge simulate no-trend --world no-trend --first 1996-01-01 --last 1996-01-07 \
        --satellites f13 --with rss,oisst,truth
      ... the same in 2017 with f17, and with --world gap-trend, wind-trend, sst-drift
      fluxforge run -c no-trend.yaml          # a run file of deepflux for each world

    A recovery.yaml names the records:

      reference: {store: no-trend-store, truth: no-trend/truth/daily.zarr}
      worlds:
        gap-trend: {store: gap-trend-store, truth: gap-trend/truth/daily.zarr}
        sst-drift: {store: sst-drift-store}   # its truth is the reference's: what it shows is false
      out: recovery

    `fluxforge trends` takes the file of maps it writes as `recovered`, and marks with crosses where
    less than half of a trend is given back.

    Example: fluxforge recovery -c recovery.yaml
    """
    from fluxengine import show
    from fluxrecipes.trends import recovery as known
    from fluxrecipes.trends import recovery_report, recovery_settings

    asked = recovery_settings.load(config)
    found = known.of(asked, tell=lambda line: show.notice(line))
    files = recovery_report.write(found)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2, allow_nan=False))
        return
    recovery_report.tables(found)
    _told(files)


def _told(files: Files) -> None:
    from fluxengine import show

    show.out.print()
    for label, path in zip(("maps", "numbers", "picture"), files, strict=True):
        show.out.print(f"{label:<8} {path}", soft_wrap=True)
