"""``fluxforge report``: one page on the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def report(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="Run file, such as `fluxforge run` takes.")
    ] = Path("run.yaml"),
    profile: Annotated[str | None, typer.Option("--profile", "-p", help="Of the run file.")] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of report.html and pictures/.")
    ] = Path("out/report"),
    trends: Annotated[
        Path | None, typer.Option(help="Folder that `fluxforge trends` wrote.")
    ] = None,
    matchups: Annotated[
        Path | None, typer.Option(help="File that `fluxforge matchup` wrote.")
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(help="Draw this variable; may be given again. By default the usual ones."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Write a page on the published record: one HTML file that needs nothing else, and pictures.

    Which days there are, are missing or come from a reanalysis; maps through time; global means;
    where the record comes from, and how its quality checks ended. With `--matchups`, scores against
    reports from the sea (the test year and withheld stations stay closed); with `--trends`, trends.
    What is not there is said, with the command that makes it. Pictures are PNG and PDF, for print.

    The page covers the run file's period. Maps of more than 100 days are of months: those of
    deepflux-monthly, where it is published.

    Example: fluxforge report -c run.yaml --trends trends --matchups matchups.nc -o out/report
    """
    from fluxengine import config as configuration
    from fluxengine import show
    from fluxrecipes.report import page, subject

    run_file = configuration.load(config)
    about = subject.of(run_file, run_file.profile(profile).place, tuple(variable or ()))
    with show.bars("done") as bars:
        made = page.make(about, out, bars, trends=trends, matchups=matchups)
    if as_json:
        typer.echo(json.dumps(made.as_json(), indent=2))
        return
    days = ", ".join(f"{number} {kind}" for kind, number in made.days.items() if number)
    show.out.print(f"Days: {days}. Maps: {made.frames}.", markup=False, soft_wrap=True)
    for remark in made.remarks:
        show.out.print(f"Not in it: {remark}", markup=False, soft_wrap=True)
    show.out.print(f"report   {made.page} ({show.size(made.size)})", markup=False, soft_wrap=True)
    number = len(made.pictures)
    show.out.print(f"pictures {out / 'pictures'} ({number} files)", markup=False, soft_wrap=True)
