"""Verbs that recipes add to the command line. Each imports what it needs when it is called."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder for the archive; made if need be.")],
    first: Annotated[str, typer.Option(help="First day.")] = "2019-01-01",
    last: Annotated[str, typer.Option(help="Last day.")] = "2019-01-30",
    seed: Annotated[int, typer.Option(help="Of the world's weather.")] = 2019,
    world: Annotated[
        str,
        typer.Option(
            help="Its physics: standard; no-trend, equal-trends, gap-trend, humidity-trend or"
            " wind-trend (in the truth); sst-drift or vapour-drift (of the products alone);"
            " perturbed."
        ),
    ] = "standard",
    outputs: Annotated[
        str,
        typer.Option(
            "--with",
            metavar="LIST",
            help="What to write, of: rss, rss-averages, oisst, era5, reanalysis, ndbc, gtmba,"
            " oceansites, icoads, truth; or all.",
        ),
    ] = "rss,oisst,ndbc",
    satellites: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Whose maps, by the names of `fluxforge sources` (f17, amsr2, windsat ...);"
            " or all that fly in the period.",
        ),
    ] = "f17",
    hours: Annotated[
        str, typer.Option(metavar="LIST", help="UTC hours of era5, and of truth at 0.25; or all.")
    ] = "0",
    resolution: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Of truth, in degrees: 1 (daily means) or 0.25 (at the hours); or all."
            " Files in a provider's format have the provider's.",
        ),
    ] = "1",
    processes: Annotated[
        int, typer.Option(min=0, help="Worker processes; 0 for one on each processor.")
    ] = 0,
) -> None:
    """Write a simulated archive in the providers' file formats.

    What is there is kept: the same command goes on where it stopped, and other days or outputs
    are added. A day's files are the same, byte for byte, however the archive grew.

    Example: fluxforge simulate archive --first 2019-01-01 --last 2019-03-31

    Example: fluxforge simulate archive --satellites f17,amsr2 --with rss,oisst --world no-trend

    Example: fluxforge simulate archive --first 1997-06-01 --last 1997-06-30
    --satellites all --with all
    """
    from fluxengine import show
    from fluxengine.errors import ConfigError
    from fluxengine.grid import parse_day
    from fluxengine.registry import suggestion
    from fluxrecipes.nature import archive
    from fluxrecipes.nature.files import table
    from fluxrecipes.nature.physics import WORLDS

    begin, end = parse_day(first), parse_day(last)
    if end < begin:
        raise ConfigError(f"the last day, {end}, lies before the first, {begin}.", where="--last")
    if seed < 0:
        raise ConfigError(f"a world has no negative seed ({seed}).", where="--seed")
    if world not in WORLDS:
        raise ConfigError(
            f"there is no world '{world}'.", where="--world", mend=suggestion(world, WORLDS)
        )
    selection = table.select(
        begin, end, outputs=outputs, satellites=satellites, hours=hours, resolution=resolution
    )
    with show.bars("files") as progress:
        archive.simulate_with_bars(
            progress,
            out,
            begin,
            end,
            seed=seed,
            physics=WORLDS[world],
            selection=selection,
            processes=processes or None,
        )
    show.out.print(f"Simulated archive: {out} (its README.txt says so).")


def rank(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="Run file, such as `fluxforge run` takes.")
    ] = Path("run.yaml"),
    profile: Annotated[str | None, typer.Option("--profile", "-p", help="Of the run file.")] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            help="A platform kept for validation besides WHOTS, Stratus and NTAS; repeatable."
        ),
    ] = None,
) -> None:
    """Rank satellites month by month by how close their wind is to in-situ reports.

    Needs a store with the satellites' passes (`fluxforge run`) and the table of reports
    (`fluxforge ingest insitu`). Prints the option `ranking` for `merge: closest-to-in-situ`.
    Months of 2018 are held out for the last test: they are not ranked, and there the newest
    satellite comes first.

    Example: fluxforge rank -c run.yaml --leave-out 46246
    """
    from fluxengine import config as configuration
    from fluxengine import show
    from fluxengine.errors import ConfigError
    from fluxrecipes import ranking
    from fluxrecipes.matchups.matching import WITHHELD
    from fluxrecipes.products.deepflux import Options

    run_file = configuration.load(config)
    chosen = run_file.profile(profile)
    options = Options.model_validate(run_file.options)
    period = run_file.period
    if period is None:
        raise ConfigError("it needs a period.", where=str(config), mend="Add `period`.")
    found = ranking.of_store(
        chosen.place,
        options.sensors,
        period.first,
        period.last,
        (*WITHHELD, *(leave_out or ())),
    )
    if not found:
        raise ConfigError(
            f"no month can be ranked: a satellite needs {ranking.FEWEST} pairs with reports in it.",
            where=str(chosen.place),
            mend="Ingest more feeds of reports, or choose a longer `period`.",
        )
    rows = [(f.month, f.satellite, str(f.pairs), f"{f.rmse:.2f}", f"{f.bias:+.2f}") for f in found]
    heads = ("month", "satellite", "pairs", "RMSE [m/s]", "bias [m/s]")
    show.table("Wind against in-situ reports, brought to 10 m", heads, rows)
    typer.echo("\nranking:")  # as YAML: fit for `options`
    for month, names in ranking.ranking(found).items():
        typer.echo(f"  '{month}': [{', '.join(names)}]")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("out/demo"),
    real: Annotated[
        Path | None,
        typer.Option(help="Real input: a folder with rss/f34_YYYYMMDDv7.2.gz (AMSR2)."),
    ] = None,
) -> None:
    """Do the main job from end to end, on a simulated world or on real AMSR2 files.

    Examples: fluxforge demo; fluxforge demo --real data --out out/real
    """
    from fluxengine import show
    from fluxrecipes import demo as demonstration

    done = demonstration.simulated(out) if real is None else demonstration.real(real, out)
    show.out.print()
    for label, path in (
        *(("picture", picture) for picture in done.pictures),
        ("numbers", done.record),
        ("store", done.store),
    ):
        show.out.print(f"{label:<8} {path}", soft_wrap=True)
    show.out.print(f"next     fluxforge plan -c {quote(str(out / 'run.yaml'))}", soft_wrap=True)
