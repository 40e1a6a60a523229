"""The verb ``train``."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from fluxengine.show import Bars
    from fluxkernels.nets.cards import ModelCard
    from fluxrecipes.training.loop import Progress


class Network(StrEnum):
    """What can be trained: each a module of this package with a function ``run``."""

    GDCM = "gdcm"
    MPFNET = "mpfnet"
    CORRECTION = "correction"


MODULES = {
    Network.GDCM: "gaps",
    Network.MPFNET: "retrieval",
    Network.CORRECTION: "correction",
}


def train(
    network: Annotated[Network, typer.Argument(help="Which network.", show_default=False)],
    config: Annotated[
        Path, typer.Option("--config", "-c", help="What on what, and for how long.")
    ] = Path("train.yaml"),
) -> None:
    r"""Train a network on datasets of a store, and write its weights with a model card.

    gdcm fills gaps: it needs `deepflux-merged` and `deepflux-reanalysis` of the days named.
    mpfnet retrieves near-surface air: from `deepflux-reanalysis` (a product as the others, of
    ERA5: `fluxforge products deepflux-reanalysis --run-file`), then (`finetune`) from reports of
    `insitu` beside `deepflux-filled` and `deepflux-sst`. correction learns what the fluxes of
    `deepflux-passes` lack against reports. The reanalysis may also be a plain Zarr store,
    as `fluxforge simulate --with reanalysis` writes one: its path, ending in .zarr.
    Finally the standard errors of mpfnet and correction are calibrated, on what training did not
    see.
    A training that was cut off goes on from its last checkpoint, by the same command. On several
    GPUs: `torchrun --nproc-per-node 4 --no-python fluxforge train …`, with `device: cuda`.

    A train.yaml:

        store: out/store
        train: [{first: 2014-01-01, last: 2015-12-31}]
        validation: {first: 2016-01-01, last: 2016-12-31}
        held_out: {first: 2018-01-01, last: 2018-12-31}
        preset: compact-centred     # or paper, compact, compact-both-passes
        start: weights/other.safetensors   # begin from these weights; without it from chance
        batch: 4
        schedule: {steps: 8000, learning_rate: 2e-3, precision: bf16, device: cpu}
        finetune: {schedule: {steps: 2000, learning_rate: 5e-4}}
        out: weights/gdcm.safetensors
        data: simulated world, seed 1
        sensor: f17

    For mpfnet instead of `preset`:

        datasets: {reanalysis: archive/reanalysis/passes.zarr}
        net: {width: 24, levels: 3, modes: [12, 24], history: 1, position: true}
        matchups: {sensors: \[f10, f15], apart: 0, unseen: 0.2}
        orbit: both                 # or ascending, descending
        errors: {air_temperature: {ship: 0.8, other: 0.3}}   # what reports err by

    For correction the same without `datasets` and `finetune`, and with:

        corrects: fluxes            # or wind

    Example: fluxforge train gdcm -c train.yaml

    Example: fluxforge train mpfnet -c retrieval.yaml
    """
    from importlib import import_module

    from fluxengine import show
    from fluxengine.errors import ConfigError
    from fluxkernels.errors import KernelError
    from fluxkernels.nets.predict import exhausted
    from fluxrecipes.training.loop import OutOfMemory
    from fluxrecipes.training.parallel import leads

    module = import_module(f"fluxrecipes.training.{MODULES[network]}")
    with show.bars("steps") if leads() else nullcontext() as bars:
        try:
            made = module.run(config, lambda name, steps: _watch(bars, name, steps))
        except KernelError as error:
            raise ConfigError(str(error), where=str(config)) from error
        except (MemoryError, RuntimeError) as error:
            if not exhausted(error):
                raise
            why = next(iter(str(error).splitlines()), "none is left")
            raise OutOfMemory(
                f"memory does not suffice ({why}).",
                where=str(config),
                mend="Lower `batch`, for what the network needs, or `blocks`, for the days held at"
                " once. Either is another training: begin it anew, with another `out`.",
            ) from error
    if leads():
        rows = [(name, f"{value:.4g}") for name, value in made.card.skill.items()]
        show.table("On days kept back from training", ("score", "#value"), rows)
        _show_errors(made.card)
        show.out.print(f"weights  {made.path}", soft_wrap=True)


def _show_errors(card: ModelCard) -> None:
    """What was found of standard errors, of each output of a network that tells them."""
    from fluxengine import show

    if not card.errors:
        return
    titles = ("standard error of", "#factor", "#systematic", "#days", "#km")
    rows = []
    for name, model in card.errors.items():
        told = (model.factor, model.systematic, model.days, model.kilometres)
        rows.append((name, *("?" if x is None else f"{x:.3g}" for x in told)))
    show.table("Standard errors of the network", titles, rows)
    for found in dict.fromkeys(model.found for model in card.errors.values()):
        show.out.print(found)


def _watch(bars: Bars | None, name: str, steps: int) -> Callable[[Progress], None]:
    """A bar for a phase, with its last loss and its last deciding score."""
    if bars is None:  # another process shows it
        return lambda progress: None
    bars.begin(name, steps)
    done, skill = 0, ""

    def tell(progress: Progress) -> None:
        nonlocal done, skill
        bars.advance(name, progress.step - done)
        done = progress.step
        if progress.scores:
            skill = f", {next(iter(progress.scores))} {next(iter(progress.scores.values())):.3f}"
        bars.describe(name, f"{name}: loss {progress.loss:.3f}{skill}")

    return tell
