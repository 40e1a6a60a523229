"""``fluxforge validate``: how far the record, its networks and a new sensor are from others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fluxrecipes.matchups.report import Validated


OUT = Path("validation")


def validate(
    config: Annotated[Path, typer.Option("--config", "-c", help="What to score on what.")] = Path(
        "validate.yaml"
    ),
    models: Annotated[
        bool, typer.Option("--models", help="Score networks beside their baselines.")
    ] = False,
    matchups: Annotated[
        Path | None, typer.Option(help="Score the record against reports: a file of matchups.")
    ] = None,
    means: Annotated[
        bool, typer.Option("--means", help="Maps and series of means, with products beside.")
    ] = False,
    sensor: Annotated[
        str | None, typer.Option(help="Assess a sensor, such as amsr2, before the record takes it.")
    ] = None,
    beside: Annotated[
        str,
        typer.Option(
            help="Of a sensor: the one to compare with; by default that with most days in common."
        ),
    ] = "",
    limits: Annotated[
        Path | None, typer.Option(help="Of a sensor: a YAML with thresholds of your own.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", help="Of a sensor's run file.")
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Also 2018 and withheld stations.")
    ] = False,
    purpose: Annotated[str, typer.Option(help="What held-out data are looked at for.")] = "",
    station: Annotated[
        list[str] | None,
        typer.Option(help="Of matchups, where to tell monthly means; several times."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for numbers and pictures. By default `validation`, with `--means` the"
            " one of the file, and with `--models` none: these are only shown."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    r"""Score the record, its networks beside their baselines, or a sensor beside another.

    With `--matchups`, a file that `fluxforge matchup` wrote: RMSE, bias, correlation and spread
    with intervals, of all and by pass, fill, satellite, feed, latitude, wind, cloud, vapour and
    sea surface temperature, beside the paper's published table 4, with pictures; the satellites'
    wind by satellite and thirds, before and after its correction; monthly means at stations. Where
    the file holds daily products (`fluxforge matchup --beside`), these on the days that all of
    them have, also by fill, wind, cloud, vapour and sea, and triple collocation. `fluxforge report`
    has the same tables on its page. The test year and the withheld stations are left out unless
    `--held-out --purpose WHY` opens them, which is written into openings.jsonl beside the file.

    Example: fluxforge validate --matchups matchups.nc --station 0n110w --out validation

    With `--means`, annual-mean maps and monthly global means of air and fluxes, of the record and
    of products on the cells and months that all have. It takes the file of `fluxforge trends`,
    which names the record, its period and what stands `beside`; days serve as well as months.

    Example: fluxforge validate --means -c trends.yaml --out means

    With `--models`, a validate.yaml names the store, the days to fit the baselines on, the days to
    score, and where the passes are simulated their world:

      store: store
      fit: {first: 2014-01-01, last: 2015-12-31}
      score: {first: 2016-01-01, last: 2017-12-31}
      every: 5
      truth: {seed: 1}
      gaps: {weights: \[gdcm.safetensors]}
      retrieval: {weights: \[mpfnet.safetensors]}
      chain: {also: \[{fill: gdcm-compact, retrieve: mpfnet}]}

    `chain` runs the record's stages one after another: `options` are those of a run file of
    deepflux, none are the defaults, `also` are further chains on the same cells. It tells how far
    air and fluxes are from the truth and from reports of the table `insitu`, what a correction
    mends, which stage makes which part of the error, and whether standard errors hold. It reads
    deepflux-merged and deepflux-sst, or what `datasets` names.

    Scoring 2018 needs a `purpose`, which is written into openings.jsonl beside the store.

    Example: fluxforge validate --models -c validate.yaml --out models

    With `--sensor`, a run file such as `fluxforge run` takes: a satellite of its store (passes of
    deepflux-merged) beside another on the same days: differences by region and season with
    intervals, drift, what may be the daily cycle; both against reports of the table `insitu`, with
    a Taylor diagram (the withheld stations with `--held-out --purpose WHY`, else the others); jumps
    at seams of merged maps, and the step on entering; and a verdict. Exit code 1 where it is not
    fit, or undecided. A file of `--limits` changes thresholds:

      days: 60
      seam_ratio: 1.05
      wind_speed: {bias: 0.1, regional: 0.4, drift: 0.1}

    Example: fluxforge validate --sensor amsr2 --beside f17 -c run.yaml --out amsr2
    """
    from fluxengine.outages import check_folder

    if out is not None:
        check_folder(out)
    if sensor is not None:
        of_sensor(
            config, profile, sensor, beside, limits,
            held_out=held_out, purpose=purpose, out=out or OUT, as_json=as_json,
        )  # fmt: skip
        return
    if matchups is not None:
        from fluxrecipes.matchups import report as of_matchups

        against = of_matchups.of(
            matchups, held_out=held_out, purpose=purpose, at_stations=station or ()
        )
        tell_matchups(against, out or OUT, as_json=as_json)
        return
    if means:
        tell_means(config, out, as_json=as_json)
        return
    from fluxengine import show
    from fluxengine.errors import ConfigError
    from fluxrecipes.skill import report, settings

    if not models:
        raise ConfigError(
            "it is not said what to validate.",
            where="validate",
            mend="Say `--matchups FILE`, `--means`, `--models` or `--sensor NAME`.",
        )
    asked = settings.load(config)
    found: dict[str, Any] = report.of(asked, tell=lambda line: show.notice(line))
    written = [] if out is None else report.write(found, out)
    if as_json:
        typer.echo(json.dumps(found, indent=2, allow_nan=False))
        return
    report.tables(found)
    tell_files(written)


def tell_matchups(found: Validated, out: Path, *, as_json: bool) -> None:
    """Write numbers and pictures of matchups, and tell."""
    from fluxrecipes.matchups import report, tables
    from fluxrecipes.tables import show_sections

    written = report.write(found, out)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2, allow_nan=False))
        return
    show_sections(tables.sections(found))
    tell_files(written)


def tell_means(config: Path, out: Path | None, *, as_json: bool) -> None:
    """Means of what a trends.yaml names, written into its own folder or another."""
    from fluxengine import show
    from fluxrecipes.trends import means, means_report, settings

    asked = settings.load(config)
    if out is not None:
        asked = asked.model_copy(update={"out": out})
    found = means.of(asked, tell=lambda line: show.notice(line))
    written = means_report.write(found)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2, allow_nan=False))
        return
    means_report.tables(found)
    tell_files(written)


def of_sensor(
    config: Path,
    profile: str | None,
    sensor: str,
    beside: str,
    limits: Path | None,
    *,
    held_out: bool,
    purpose: str,
    out: Path,
    as_json: bool,
) -> None:
    """Assess a sensor of a run file's store, write numbers and pictures, and tell."""
    from fluxengine import config as configuration
    from fluxengine import show
    from fluxrecipes.constellation import RECORD
    from fluxrecipes.sensors import assessment, report, settings
    from fluxrecipes.sensors.verdict import FIT

    thresholds = settings.load(limits)
    run_file = configuration.load(config)
    asked = assessment.Asked(
        run_file.profile(profile).place,
        sensor,
        beside,
        tuple(run_file.options.get("sensors", RECORD)),
        run_file.period,
        thresholds,
        held_out,
        purpose,
    )
    with show.bars("days") as progress:
        found = assessment.of(asked, progress)
    written = report.write(found, out)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2, allow_nan=False))
    else:
        report.tables(found)
        tell_files(written)
    if found.verdict != FIT:
        raise typer.Exit(1)


def tell_files(written: Sequence[Path]) -> None:
    """What was written, a line each."""
    from fluxengine import show

    if written:
        show.out.print()
    for one in written:
        kind = "numbers" if one.suffix == ".json" else "picture"
        show.out.print(f"{kind:<8} {one}", soft_wrap=True)
