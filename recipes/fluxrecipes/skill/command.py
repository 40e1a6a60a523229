"""``fluxforge validate``: how far the record's networks are from the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def validate(
    config: Annotated[Path, typer.Option("--config", "-c", help="What to score on what.")] = Path(
        "validate.yaml"
    ),
    models: Annotated[
        bool, typer.Option("--models", help="Score networks beside their baselines.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    r"""Score the record's networks beside the baselines that they must beat.

    A validate.yaml names the store, the days to fit the baselines on, the days to score, and where
    the passes are simulated their world:

    \b
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

    Example: fluxforge validate --models -c validate.yaml
    """
    from fluxengine import show
    from fluxengine.errors import ConfigError
    from fluxrecipes.skill import report, settings

    if not models:
        raise ConfigError(
            "it is not said what to validate.", where="validate", mend="Say `--models`."
        )
    asked = settings.load(config)
    found: dict[str, Any] = report.of(asked, tell=lambda line: show.notice(line))
    if as_json:
        typer.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        report.tables(found)
