"""What a person sees: tables, progress bars, errors in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from fluxengine.errors import FluxforgeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import TaskID

    from fluxengine.plan import DatasetPlan, Plan, PlannedBlock
    from fluxengine.run import Summary

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)
SHOWN_BLOCKS = 12  # of a dataset, in a plan


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; columns whose name begins with '#' are right-aligned."""
    made = Table(
        title=title or None, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in columns:
        right = column.startswith("#")
        made.add_column(
            column.lstrip("#"),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=right,
        )
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))  # Text: [K] is no markup
    out.print(made)


def error(problem: FluxforgeError) -> None:
    """One clear paragraph: what, where, how to mend."""
    err.print(f"[bold red]Error {problem.code}[/]: ", end="")
    err.print(str(problem), markup=False, soft_wrap=True)


def notice(line: str) -> None:
    """One line beside the bars, such as where a dashboard is."""
    err.print(line, markup=False, soft_wrap=True)


class Bars:
    """Progress bars of a run, one a dataset."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def begin(self, dataset: str, blocks: int) -> None:
        """A dataset starts."""
        self._tasks[dataset] = self._progress.add_task(dataset, total=blocks)

    def advance(self, dataset: str, by: int = 1) -> None:
        """So many more of its blocks are done."""
        self._progress.advance(self._tasks[dataset], by)


@contextmanager
def bars(unit: str = "blocks") -> Iterator[Bars]:
    """Show bars on the terminal; plain last lines where the output is no terminal."""
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err) as progress:
        yield Bars(progress)


def plan(made: Plan) -> None:
    """Which blocks will run and may run, and why."""
    if made.is_empty:
        asked = made.request
        period = f" for {asked.first} to {asked.last}" if asked.first else ""
        out.print(f"Nothing to run: {asked.product.name} is up to date{period}.")
        return
    rows = [
        (d.name, int(d.wanted.sum()), len(d.will_run), len(d.may_run), size(d.bytes_written))
        for d in made.datasets
    ]
    table("", ("dataset", "#blocks", "#will run", "#may run", "#writes up to"), rows)
    out.print()
    for dataset in made.datasets:
        if dataset.blocks:
            _blocks(dataset)


def _blocks(dataset: DatasetPlan) -> None:
    grid = dataset.stand.grid
    certain = set(dataset.will_run.numbers.tolist())

    def row(planned: PlannedBlock) -> tuple[str, str, str, str]:
        steps = planned.block.steps
        days = f"{grid.step_name(steps[0])} … {grid.step_name(steps[-1])}"
        kind = "will run" if planned.number in certain else "may run"
        return planned.block.name, days, kind, "; ".join(planned.why)

    shown = dataset.blocks[:SHOWN_BLOCKS]
    table(dataset.name, ("block", "steps", "", "why"), [row(b) for b in shown])
    if len(dataset.blocks) > len(shown):
        out.print(f"… and {len(dataset.blocks) - len(shown)} more (all of them with --json)")
    out.print()


def summary(done: Summary, product: str) -> None:
    """What a run did, in a few lines."""
    if done.did_nothing:
        out.print(f"Nothing to do: {product} is up to date ({done.seconds:.1f} s).")
    else:
        blocks = ", ".join(f"{name} {n}" for name, n in done.blocks.items()) or "none"
        out.print(f"Blocks made: {blocks} ({done.seconds:.1f} s).")
    if done.published:
        versions = ", ".join(f"{name} {version}" for name, version in done.published.items())
        out.print(f"Published: {versions}.")
    if done.marked:
        err.print(f"[bold yellow]{len(done.marked)} marked[/] (no good values, the rest is there):")
        for line in done.marked[:10]:
            err.print(f"  {line}", markup=False, soft_wrap=True)
        if len(done.marked) > 10:
            err.print(f"  … and {len(done.marked) - 10} more (`fluxforge status` lists them)")


def status(records: Sequence[Mapping[str, Any]]) -> None:
    """A line for each dataset, then each marked step with its reason."""
    columns = ("dataset", "version", "first", "last", "#valid", "#marked", "content")

    def row(r: Mapping[str, Any]) -> tuple[object, ...]:
        version = (r["published"] or "none") + ("+" if r["unpublished_work"] else "")
        steps = sum(r[state] for state in ("valid", "failed", "no_file", "never_written"))
        marked = r["failed"] + r["no_file"]
        valid = f"{r['valid']}/{steps}"
        return r["dataset"], version, r["first"], r["last"], valid, marked, r["content"][:8]

    table("", columns, [row(r) for r in records])
    if any(r["unpublished_work"] for r in records):
        out.print("+ has work that is not published yet: run again.")
    for record in records:
        for step, note in record["notes"].items():
            err.print(f"{record['dataset']} {step}: {note}", markup=False, soft_wrap=True)


def size(number: float) -> str:
    """Bytes in words."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError
