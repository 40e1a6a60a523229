"""The command line. A verb imports what it needs when it is called, so that --help is quick."""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
import threading
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluxengine import registry
from fluxengine.errors import ConfigError, FluxforgeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from fluxengine.config import ClusterConfig, Profile, RunFile
    from fluxengine.estimate import Resources
    from fluxengine.executors import Executor
    from fluxengine.recompute import Compared
    from fluxengine.run import Summary
    from fluxengine.stand import Request
    from fluxengine.store import Store
    from fluxengine.table_plan import TableRequest

MARKED = 3  # exit code of a run that ended well but for marked days or blocks
INTERRUPTED = 130  # exit code of a command that Ctrl-C stopped, as shells have it

app = typer.Typer(
    help="Regenerate satellite-derived climate records, recomputing only what changed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
Config = Annotated[Path, typer.Option("-c", "--config", help="Run file.")]
ProfileName = Annotated[
    str | None, typer.Option("--profile", help="Where to run: a profile of the run file.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop, unpublished, at the first missing or damaged input.")
]
StorePlace = Annotated[
    str | None, typer.Option("--store", help="A store, instead of the run file's.")
]
DEFAULT_CONFIG = Path("run.yaml")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"fluxforge {version('fluxforge')}")
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    _common.debug = debug  # type: ignore[attr-defined]


@app.command(epilog="Example: fluxforge sources rss-f17")
def sources(
    name: Annotated[str | None, typer.Argument(help="One source or table, in full.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the installed sources and tables of reports, or describe one."""
    from fluxengine import describe

    if name is None:
        describe.sources(as_json)
    elif name in registry.table_names():
        describe.table(registry.table(name), as_json)
    else:
        describe.source(registry.source(name), as_json)


@app.command(epilog="Example: fluxforge products deepflux --run-file > run.yaml")
def products(
    name: Annotated[str | None, typer.Argument(help="One product, in full.")] = None,
    run_file: Annotated[
        bool, typer.Option("--run-file", help="Write a complete, commented run file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the installed products, describe one, or write a run file for it."""
    from fluxengine import describe

    if name is None and run_file:
        mend = f"There are: {', '.join(registry.product_names())}."
        raise ConfigError("say of which product.", where="--run-file", mend=mend)
    if name is None:
        describe.products(as_json)
    elif run_file:
        typer.echo(describe.run_file(registry.recipe(name)))
    else:
        describe.product(registry.recipe(name), as_json)


@app.command(epilog="Example: fluxforge plan -c run.yaml --profile slurm --graph plan.png")
def plan(
    config: Config = DEFAULT_CONFIG,
    profile: ProfileName = None,
    graph: Annotated[
        Path | None, typer.Option("--graph", help="Draw the blocks of all datasets (png, svg).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which blocks will run, which may, why, and what that takes and costs.

    Computes and writes nothing.
    """
    from fluxengine import requested, show
    from fluxengine.estimate import bill, estimates
    from fluxengine.plan import make_plan

    if _names_table(config, **{"--graph": graph}):
        _plan_table(config, profile, as_json)
        return
    run_file, chosen, request = _request(config, profile, create=False)
    given = requested.resources(run_file, chosen)
    with show.bars() as progress:
        made = make_plan(request, progress)
    found = estimates(made, given)
    total = bill(found, given)
    if graph is not None:
        from fluxengine.draw import draw_plan

        draw_plan(made, graph)
        show.err.print(f"Drawn: {graph}")
    if as_json:
        told = made.as_json() | {
            "estimates": [e.as_json() for e in found],
            "total": total.as_json(),
        }
        typer.echo(json.dumps(told, indent=2))
    else:
        show.plan(made, found, total, given)


@app.command(epilog="Example: fluxforge run -c run.yaml --profile local")
def run(
    config: Config = DEFAULT_CONFIG,
    profile: ProfileName = None,
    strict: Strict = False,
    accept_code: Annotated[
        bool,
        typer.Option(
            "--accept-code",
            help="Do not make blocks again for which only the code changed: you know that it gives"
            " the same values.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the product up to date and publish it.

    The same command goes on after a crash. Exit code 3: published, but some days are marked.
    """
    if _names_table(config, **{"--accept-code": accept_code}):
        _finish_table(_table_request(config, profile, create=True), strict, as_json)
        return
    run_file, chosen, request = _request(config, profile, create=True)
    _finish(run_file, chosen, request, strict, as_json, accept_code=accept_code)


@app.command(epilog="Example: fluxforge ingest rss-f17 -c run.yaml")
def ingest(
    name: Annotated[str, typer.Argument(help="A source, or a table of reports.")],
    config: Config = DEFAULT_CONFIG,
    profile: ProfileName = None,
    first: Annotated[str | None, typer.Option(help="Of a table: a day in the first month.")] = None,
    last: Annotated[str | None, typer.Option(help="Of a table: a day in the last month.")] = None,
    feed: Annotated[
        list[str] | None, typer.Option(help="Of a table: this feed only; may be given again.")
    ] = None,
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Bring one source, or one table of reports, up to date: `run` of that alone.

    A table holds the months it was asked for so far; by default the run file's period.
    """
    if name in registry.table_names():
        asked = _table_request(config, profile, name, first, last, tuple(feed or ()), create=True)
        _finish_table(asked, strict, as_json)
        return
    if first or last or feed:
        raise ConfigError(
            "--first, --last and --feed are for tables.", mend="Give `period` in the run file."
        )
    run_file, chosen, request = _request(config, profile, create=True)
    one = replace(request, product=registry.source(name))
    _finish(run_file, chosen, one, strict, as_json)


@app.command(epilog="Example: fluxforge status --store out/demo/store")
def status(
    config: Config = DEFAULT_CONFIG,
    profile: ProfileName = None,
    store: StorePlace = None,
    as_json: AsJson = False,
) -> None:
    """Say what a store holds, what is published, and which days are marked."""
    from fluxengine import show
    from fluxengine.status import of_store

    records = of_store(_store(store, config, profile))
    if as_json:
        typer.echo(json.dumps(records, indent=2))
        return
    show.status(records)


@app.command(epilog="Example: fluxforge verify -c run.yaml --recompute 5")
def verify(
    name: Annotated[str | None, typer.Argument(help="One dataset; by default all.")] = None,
    config: Config = DEFAULT_CONFIG,
    profile: ProfileName = None,
    store: StorePlace = None,
    recompute: Annotated[
        int,
        typer.Option(
            min=0, help="Make so many blocks once more, too, and compare: needs the run file."
        ),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare every stored value with what was written. Exit code 1 where anything differs.

    Names each damaged or missing chunk with its block and days. Objects that no version needs are
    told as information: `history --prune` deletes them when they are an hour old.
    """
    from fluxengine import show
    from fluxengine.recompute import recompute as make_again
    from fluxengine.verify import verify as verify_dataset

    place = _store(store, config, profile)
    request = _request(config, profile, create=False)[2] if recompute else None
    with show.bars() as bars:
        names = [name] if name else place.names
        found = [verify_dataset(place, one, progress=bars) for one in names]
    again: list[Compared] = []
    try:
        if request is not None:
            again.extend(make_again(replace(request, store=place), recompute, only=name))
    finally:  # what was found is told, whatever stops the rest
        if as_json:
            told = {
                "datasets": [one.as_json() for one in found],
                "recomputed": [one.as_json() for one in again],
            }
            typer.echo(json.dumps(told, indent=2))
        else:
            show.verified(found, again)
    if any(one.findings for one in found) or not all(one.same for one in again):
        raise typer.Exit(1)


@app.command(
    epilog="Examples: fluxforge explain deepflux time=2016-01-02 lat=10 lon=150;"
    " of a table of reports: fluxforge explain insitu time=2016-01-02T00:50 platform=41040"
)
def explain(
    name: Annotated[str, typer.Argument(help="A published dataset.")],
    point: Annotated[list[str], typer.Argument(help="A value for each axis, as axis=value.")],
    config: Config = DEFAULT_CONFIG,
    profile: ProfileName = None,
    store: StorePlace = None,
    version: Annotated[str | None, typer.Option(help="Such as v2; by default the newest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say where a value comes from: files, filling, weights, code, and the values between."""
    from fluxengine import show
    from fluxengine.explain import explain as explain_point

    pairs = [text.partition("=") for text in point]
    if not all(axis and value for axis, _, value in pairs):
        raise ConfigError("each part of the point is written axis=value.", mend="Such as lat=10.")
    place = _store(store, config, profile)
    made = explain_point(place, name, {a: v for a, _, v in pairs}, version=version)
    if as_json:
        typer.echo(json.dumps(made.as_json(), indent=2, ensure_ascii=False))
    else:
        show.lineage(made)


@app.command(epilog="Example: fluxforge history deepflux -c run.yaml --restore v3")
def history(
    name: Annotated[str, typer.Argument(help="A dataset.")],
    config: Config = DEFAULT_CONFIG,
    profile: ProfileName = None,
    store: StorePlace = None,
    restore: Annotated[str | None, typer.Option(help="Publish this version again.")] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Delete old versions and what nothing needs, if older than an hour."
        ),
    ] = False,
    keep: Annotated[int, typer.Option(min=1, help="Versions that --prune leaves.")] = 3,
    as_json: AsJson = False,
) -> None:
    """List what each published version changed; publish an earlier one again; prune old ones."""
    from fluxengine import history as past
    from fluxengine import show

    place = _store(store, config, profile)
    if restore:
        new = past.restore(place, name, restore)
        show.err.print(f"{restore} of {name} is published again, as {new}.")
    if prune:
        freed = past.prune(place, name, keep)
        spared = "What was written within the last hour stays: prune again later."
        versions = "1 version is" if keep == 1 else f"{keep} versions are"
        show.err.print(f"Deleted {show.size(freed)}; at most {versions} kept. {spared}")
    found = past.versions(place, name)
    if as_json:
        typer.echo(json.dumps([one.as_json() for one in found], indent=2))
    else:
        show.history(name, found)


@app.command(
    epilog="Examples: fluxforge export deepflux -c run.yaml -o netcdf --per month;"
    " fluxforge export deepflux -c run.yaml -o oaflux --style oaflux"
)
def export(
    name: Annotated[str, typer.Argument(help="A published dataset.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the files.")],
    config: Config = DEFAULT_CONFIG,
    profile: ProfileName = None,
    store: StorePlace = None,
    first: Annotated[str | None, typer.Option(help="First day.")] = None,
    last: Annotated[str | None, typer.Option(help="Last day.")] = None,
    per: Annotated[str, typer.Option(help="A file for each: all, year or month.")] = "year",
    style: Annotated[
        str | None,
        typer.Option(
            help="Names, units, grid and packing of another product's files, such as oaflux:"
            " for programs that read these."
        ),
    ] = None,
) -> None:
    """Write a published dataset as CF NetCDF, in its own form or in that of another product.

    With `--style oaflux`, a yearly file each for latent and sensible heat, wind, humidity, air and
    sea temperature, named lh_oaflux_2014.nc and so on: degC, g/kg, W/m^2 positive upward.
    """
    from typing import cast, get_args

    from fluxengine import export as exporting
    from fluxengine import show
    from fluxengine.grid import parse_day
    from fluxengine.styles import Per

    if per not in get_args(Per):
        raise ConfigError(f"'--per {per}' is none of {', '.join(get_args(Per))}.")
    form = None if style is None else registry.style(style)
    begin, end = (None if day is None else parse_day(day) for day in (first, last))
    place = _store(store, config, profile)
    paths = exporting.export(
        place, name, out, first=begin, last=end, per=cast(Per, per), style=form
    )
    with show.err.status(f"exporting {name}"):
        for path in paths:
            typer.echo(path)


def _request(
    config: Path, profile: str | None, *, create: bool
) -> tuple[RunFile, Profile, Request]:
    from fluxengine import clusters
    from fluxengine import config as configuration

    run_file = configuration.load(config)
    chosen = run_file.profile(profile)
    if create:
        clusters.prepare(chosen.cluster)
    from fluxengine import requested  # it loads Zarr: meanwhile, where something is begun

    return run_file, chosen, requested.of_product(run_file, chosen, create=create)


def _names_table(config: Path, **unfit: object) -> bool:
    """Whether the run file's product is a table of reports, for which some options are unfit."""
    from fluxengine import config as configuration

    name = configuration.load(config).product
    if name not in registry.table_names():
        return False
    for option, given in unfit.items():
        if given:
            raise ConfigError(f"{option} is not for tables of reports.", where=name)
    return True


def _table_request(
    config: Path,
    profile: str | None,
    name: str | None = None,
    first: str | None = None,
    last: str | None = None,
    feeds: tuple[str, ...] = (),
    *,
    create: bool,
) -> TableRequest:
    from fluxengine import config as configuration
    from fluxengine import requested
    from fluxengine.grid import parse_day

    run_file = configuration.load(config)
    chosen = run_file.profile(profile)
    made = requested.of_table(run_file, chosen, name or run_file.product, create=create)
    begin, end = (None if day is None else parse_day(day) for day in (first, last))
    return replace(made, first=begin or made.first, last=end or made.last, feeds=feeds)


def _plan_table(config: Path, profile: str | None, as_json: bool) -> None:
    from fluxengine import show
    from fluxengine.table_plan import make_plan

    made = make_plan(_table_request(config, profile, create=False))
    if as_json:
        typer.echo(json.dumps(made.as_json(), indent=2))
    else:
        show.table_plan(made)


def _finish_table(request: TableRequest, strict: bool, as_json: bool) -> None:
    from fluxengine import show
    from fluxengine.table_run import run as run_table

    with _interruptible(), show.bars("files") as progress:
        done = run_table(request, progress=progress, strict=strict)
    if as_json:
        typer.echo(json.dumps(done.as_json(), indent=2))
    else:
        show.table_summary(done)
    if done.marked:
        raise typer.Exit(MARKED)


def _store(location: str | None, config: Path, profile: str | None) -> Store:
    from fluxengine import config as configuration
    from fluxengine.store import Store

    return Store.at(location or configuration.load(config).profile(profile).place)


def _finish(
    run_file: RunFile,
    profile: Profile,
    request: Request,
    strict: bool,
    as_json: bool,
    *,
    accept_code: bool = False,
) -> None:
    from fluxengine import requested, show

    given = requested.resources(run_file, profile)
    done = run_with_bars(
        request, profile.cluster, strict=strict, accept_code=accept_code, resources=given
    )
    if as_json:
        typer.echo(json.dumps(done.as_json(), indent=2))
    else:
        show.summary(done, request.product.name)
    if done.marked:
        raise typer.Exit(MARKED)


def run_with_bars(
    request: Request,
    cluster: ClusterConfig,
    *,
    strict: bool,
    accept_code: bool = False,
    resources: Resources | None = None,
) -> Summary:
    """Run a request on a cluster of the run file, with progress bars."""
    from fluxengine import clusters, show
    from fluxengine.run import run as run_request

    def workers() -> AbstractContextManager[Executor]:
        return clusters.executor(cluster, show.notice)

    with _interruptible(), show.bars() as progress:
        return run_request(
            request,
            workers,
            progress=progress,
            strict=strict,
            accept_code=accept_code,
            resources=resources,
        )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Say at Ctrl-C what becomes of what was done."""
    from fluxengine import show
    from fluxengine.outages import GOES_ON

    try:
        yield
    except KeyboardInterrupt:
        show.err.print(f"What was finished is kept; {GOES_ON}")
        raise


def flowing(text: str) -> str:
    """Join the lines of each paragraph, for terminals to break anew; indented lines stay."""
    lines: list[str] = []
    for line in inspect.cleandoc(text).splitlines():
        goes_on = lines and all(part and not part.startswith(" ") for part in (lines[-1], line))
        if goes_on:
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return "\n".join(lines)


def main() -> Any:
    """Entry point: typed errors become one paragraph and exit code 1."""
    from fluxengine import show

    for name, entry in sorted(registry.commands().items()):
        app.command(name)(entry.load())
    for command in app.registered_commands:
        command.help = flowing(command.help or getattr(command.callback, "__doc__", None) or "")
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            show.err.print("Stopped.")
        raise
    except FluxforgeError as problem:
        _reraise_if_debugging()
        show.error(problem)
        sys.exit(1)
    except OSError as problem:
        _reraise_if_debugging()
        told = _in_words(problem)
        if told is None:
            raise
        show.error(told)
        sys.exit(1)


def _in_words(problem: OSError) -> FluxforgeError | None:
    """What a disk is too full, or a place on it no good for; None of anything else."""
    from fluxengine.outages import is_full, typed, unusable

    where = str(problem.filename or "")
    return typed(problem, where) if is_full(problem) else unusable(problem, where)


def script() -> None:
    """Run `main` and leave at once, with its exit code.

    Threads of the storage and of Dask may still be on their way out. An interpreter that winds down
    under them aborts now and then, and a run that ended well would seem to have failed.
    """
    code: Any = 0
    _lose_no_interrupt()
    stopped_by = _stop_as_at_interrupts()
    try:
        main()
    except SystemExit as ended:
        code = 128 + stopped_by[0] if stopped_by and ended.code == INTERRUPTED else ended.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _stop_as_at_interrupts() -> list[int]:
    """End at `kill`, `scancel` or a closed terminal as at Ctrl-C; gives the signals that came.

    What was finished is committed then, and a cluster that this run started is handed back.
    """
    came: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.default_int_handler(number, frame)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` ignores the latter
            signal.signal(number, stop)
    return came


def _lose_no_interrupt() -> None:
    """Send a Ctrl-C again that came within a finaliser or a callback: Python drops it there."""
    earlier, main_thread = sys.unraisablehook, threading.main_thread()

    def dropped(told: sys.UnraisableHookArgs) -> None:
        if not issubclass(told.exc_type, KeyboardInterrupt) or main_thread.ident is None:
            earlier(told)
            return
        again = (main_thread.ident, signal.SIGINT)
        threading.Timer(0.05, signal.pthread_kill, again).start()  # when the callback is over

    sys.unraisablehook = dropped


def _reraise_if_debugging() -> None:
    if getattr(_common, "debug", False):
        raise
