"""What a person sees: tables, progress bars, errors in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
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

    from fluxengine.estimate import Bill, Estimate, Resources
    from fluxengine.explain import Lineage, Value
    from fluxengine.history import Version
    from fluxengine.plan import DatasetPlan, Plan, PlannedBlock
    from fluxengine.progress import Tick
    from fluxengine.recompute import Compared
    from fluxengine.run import Summary
    from fluxengine.table_plan import TablePlan
    from fluxengine.table_run import TableSummary
    from fluxengine.verify import Verified

out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)
HIDDEN = ("inputs", "outputs")  # options of every stage, told by its neighbours' values
IN_KEY_ALONE = ("reads", "publishes")  # told by inputs and values
SHOWN_BLOCKS = 12  # of a dataset, in a plan
SHOWN_LINES = 31  # files, or notes, of a value's lineage: those of a month of days
_WIDEST = 1000  # characters


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, wide: bool = False
) -> None:
    """Print a table; columns whose name begins with '#' are right-aligned.

    A wide one is as wide as its cells are, however narrow the terminal: where all are numbers,
    none may be cut off.
    """
    made = Table(
        title=Text(title) if title else None,
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for column in columns:
        right = column.startswith("#")
        made.add_column(
            Text(column.lstrip("#")),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=right,
        )
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))  # Text: [K] is no markup
    console = out
    if wide:
        own = Measurement.get(out, out.options.update(width=_WIDEST), made).maximum
        console = Console(highlight=False, width=max(out.width, own))
    console.print(made)


def error(problem: FluxforgeError) -> None:
    """One clear paragraph: what, where, how to mend."""
    err.print(f"[bold red]Error {problem.code}[/]: ", end="")
    err.print(str(problem), markup=False, soft_wrap=True)


def notice(line: str) -> None:
    """One line beside the bars, such as where a dashboard is."""
    err.print(line, markup=False, soft_wrap=True)


class Bars:
    """Progress bars of a run, one a dataset."""

    def __init__(self, progress: Progress, unit: str) -> None:
        self._progress, self._unit = progress, unit
        self._tasks: dict[str, TaskID] = {}

    def begin(self, dataset: str, blocks: int) -> None:
        """A dataset starts."""
        self._tasks[dataset] = self._progress.add_task(dataset, total=blocks, unit=self._unit)

    def advance(self, dataset: str, by: int = 1) -> None:
        """So many more of its blocks are done."""
        self._progress.advance(self._tasks[dataset], by)

    @contextmanager
    def watch(self, what: str, files: int) -> Iterator[Tick]:
        """A bar that goes when what it shows is done."""
        task = self._progress.add_task(what, total=files, unit="files")
        try:
            yield partial(self._progress.advance, task)
        finally:
            self._progress.remove_task(task)

    def describe(self, dataset: str, words: str) -> None:
        """Say something else beside its bar than its name."""
        self._progress.update(self._tasks[dataset], description=words)


@contextmanager
def bars(unit: str = "blocks") -> Iterator[Bars]:
    """Show bars on the terminal; plain last lines where the output is no terminal."""
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err) as progress:
        yield Bars(progress, unit)


def plan(made: Plan, found: Sequence[Estimate], total: Bill, given: Resources) -> None:
    """Which blocks will run and may run, why, and what that takes."""
    if made.is_empty:
        asked = made.request
        period = f" for {asked.first} to {asked.last}" if asked.first else ""
        out.print(f"Nothing to run: {asked.product.name} is up to date{period}.")
        return
    estimated = {e.dataset: e for e in found}
    columns = ("dataset", "#blocks", "#will", "#may", "#reads", "#writes", "#memory", "#a block")

    def row(d: DatasetPlan) -> tuple[object, ...]:
        numbers = (d.name, int(d.wanted.sum()), len(d.will_run), len(d.may_run))
        e = estimated.get(d.name)
        if e is None:
            return (*numbers, *[""] * 4)
        block = f"{duration(e.block_seconds)}{'?' if e.assumed else ''}"
        return (*numbers, size(e.bytes_read), size(e.bytes_written), size(e.memory), block)

    table("", columns, [row(d) for d in made.datasets], wide=True)
    _total(found, total, given)
    out.print()
    if made.described:
        out.print(f"Other attributes: {', '.join(made.described)}.")
        out.print()
    for dataset in made.datasets:
        if dataset.blocks:
            _blocks(dataset)


def _total(found: Sequence[Estimate], total: Bill, given: Resources) -> None:
    tasks, requests = sum(e.blocks for e in found), sum(e.gets + e.puts for e in found)
    cost = "" if total.cost is None else f", cost {total.cost:.2f}"
    workers = f"{given.workers} {'worker' if given.workers == 1 else 'workers'}"
    threads = "" if given.threads == 1 else f" of {given.threads} threads"
    out.print(
        f"{tasks} blocks, one task each; {requests:,} requests; at most {duration(total.seconds)}"
        f" on {workers}{threads}{cost}.\nBytes are packed values before compression, and what"
        " sources read is the size of their files; memory is that of a worker at its peak."
    )
    on_gpu = max((e.gpu_memory for e in found), default=0)
    if on_gpu:
        out.print(f"At most {size(on_gpu)} on a GPU.")
    if any(e.assumed for e in found):
        out.print("? No such block was made yet: its time is assumed from its bytes.")


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
    if done.accepted:
        accepted = ", ".join(f"{name} {n}" for name, n in done.accepted.items())
        out.print(f"Blocks accepted as made by the present code: {accepted}.")
    if done.described:
        out.print(f"Other attributes: {', '.join(done.described)}.")
    if done.actual:
        _planned_and_actual(done)
    if done.published:
        versions = ", ".join(f"{name} {version}" for name, version in done.published.items())
        out.print(f"Published: {versions}.")
    _marked(done.marked)


def _marked(marked: Sequence[str]) -> None:
    if marked:
        err.print(f"[bold yellow]{len(marked)} marked[/] (the rest is there):")
        for line in marked[:10]:
            err.print(f"  {line}", markup=False, soft_wrap=True)
        if len(marked) > 10:
            err.print(f"  … and {len(marked) - 10} more (`fluxforge status` lists them)")


def _planned_and_actual(done: Summary) -> None:
    """The estimates beside what the run came to; blocks that may run and need not were spared."""
    columns = ("planned, and actual", "#blocks", "#reads", "#writes", "#requests", "#memory")
    rows: list[tuple[object, ...]] = []
    for e in done.planned:
        times = duration(e.block_seconds * e.blocks)
        sizes = (size(e.bytes_read), size(e.bytes_written), e.gets + e.puts, size(e.memory))
        rows.append((e.dataset, e.blocks, *sizes, times))
        a = done.actual.get(e.dataset)
        if a is None:
            rows.append(("  all spared", 0, *[""] * 5))
            continue
        t = a.traffic
        sizes = (size(t.bytes_read), size(t.bytes_written), t.gets + t.puts, size(a.memory))
        rows.append(("  actual", a.tasks, *sizes, duration(a.task_seconds)))
    table("", (*columns, "#task time"), rows, wide=True)


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def status(records: Sequence[Mapping[str, Any]]) -> None:
    """A line for each dataset, then each marked step with its reason."""
    columns = ("dataset", "version", "first", "last", "#valid", "#marked", "content")

    def row(r: Mapping[str, Any]) -> tuple[object, ...]:
        version = (r["published"] or "none") + ("+" if r["unpublished_work"] else "")
        steps = sum(r[state] for state in ("valid", "failed", "no_file", "never_written"))
        marked = r["failed"] + r["no_file"]
        valid = f"{r['valid']}/{steps}"
        return r["dataset"], version, r["first"], r["last"], valid, marked, r["content"][:8]

    tables = [r for r in records if "rows" in r]
    grids = [r for r in records if "rows" not in r]
    if grids or not tables:
        table("", columns, [row(r) for r in grids])
    if tables:
        _status_of_tables(tables)
    if any(r["unpublished_work"] for r in records):
        out.print("+ has work that is not published yet: run again.")
    for record in records:
        for line in _bounded(_noted(record["dataset"], record["notes"])):
            out.print(line, markup=False, soft_wrap=True)


def _noted(name: str, notes: Mapping[str, str]) -> Iterator[str]:
    """A line for each note, and one for many in a row that differ in numbers alone."""
    for _, alike in groupby(notes.items(), lambda noted: re.sub(r"\d+", "0", noted[1])):
        (first, note), *others = alike
        if others:
            yield f"{name} {first} to {others[-1][0]}, {1 + len(others)} of them: {note}, and so on"
        else:
            yield f"{name} {first}: {note}"


def _status_of_tables(records: Sequence[Mapping[str, Any]]) -> None:
    """A line for each table of reports, then what was left out of it, and why."""
    columns = ("table", "version", "first", "last", "#rows", "#files", "#refused", "content")
    rows = [
        (
            r["dataset"],
            (r["published"] or "none") + ("+" if r["unpublished_work"] else ""),
            *(r[name] for name in ("first", "last", "rows", "files", "refused")),
            r["content"][:8],
        )
        for r in records
    ]
    table("", columns, rows)
    for record in records:
        _rejected(record["dataset"], record["rejected"])


def _rejected(name: str, rejected: Mapping[str, Mapping[str, int]]) -> None:
    for feed, reasons in rejected.items():
        words = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items())
        if words:
            out.print(f"{name} {feed}: rows left out: {words}.", markup=False, soft_wrap=True)


def table_plan(made: TablePlan) -> None:
    """Which files of a table will be read, and why."""
    if made.reads:
        out.print(f"{made.name}: {len(made.reads)} of {len(made.there)} files will be read.")
        shown = made.reads[:SHOWN_BLOCKS]
        table("", ("feed", "file", "why"), [(f.feed.name, f.path, f.why) for f in shown])
        if len(made.reads) > len(shown):
            out.print(f"… and {len(made.reads) - len(shown)} more (all of them with --json)")
    else:
        out.print(f"Nothing to read: {made.name} knows all {len(made.there)} files.")
    if made.gone:
        out.print(f"{len(made.gone)} files are gone; the rows read of them stay.")
    for words in made.empty:
        err.print(words, markup=False, soft_wrap=True)


def table_summary(done: TableSummary) -> None:
    """What a run of a table did, in a few lines."""
    if done.read or done.published:
        out.print(
            f"{done.table}: files read {done.read}, months rewritten {done.months}, rows in all"
            f" {done.rows:,} ({done.seconds:.1f} s)."
        )
    else:
        out.print(f"Nothing to do: {done.table} is up to date ({done.seconds:.1f} s).")
    _rejected(done.table, done.rejected)
    if done.gone:
        out.print(_gone(done.gone), markup=False, soft_wrap=True)
    if done.published:
        out.print(f"Published: {done.table} {done.published}.")
    _marked(done.marked)


def _gone(files: Sequence[tuple[str, str]]) -> str:
    """Which files are gone: the first, and how many more."""
    first = " ".join(files[0])
    if len(files) == 1:
        return f"1 file is gone; the rows read of it stay: {first}."
    more = len(files) - 1
    return f"{len(files)} files are gone; the rows read of them stay: {first} and {more} more."


def verified(found: Sequence[Verified], again: Sequence[Compared]) -> None:
    """A line for each dataset, then whatever is not as it was written."""
    rows = [
        (f.dataset, f.blocks, f.steps, size(f.bytes), size(f.orphans), len(f.findings))
        for f in found
    ]
    columns = ("dataset", "#blocks", "#steps", "#compared", "#not needed", "#findings")
    table("", columns, rows)
    wrong = [finding for f in found for finding in f.findings]
    for finding in wrong:
        place = " ".join(part for part in (finding.dataset, finding.block, finding.steps) if part)
        err.print(f"{place}: {finding.what}", markup=False, soft_wrap=True)
    if again:
        _recomputed(again)
    if not wrong and all(one.same for one in again):
        out.print("Everything is as it was written.")


def _recomputed(again: Sequence[Compared]) -> None:
    out.print()
    columns = ("made once more", "block", "#cells", "#differ", "#worst", "", "remark")
    words = {True: "same", False: "DIFFERS"}
    rows = [
        (c.dataset, c.block, c.cells, c.differing, f"{c.worst:g}", words[c.same], c.remark)
        for c in again
    ]
    table("", columns, rows)
    out.print("The same: no cell by more than one step of its packing, and no flag.")


def history(name: str, found: Sequence[Version]) -> None:
    """A line for each version."""
    counts = ("#new", "#changed", "#gone", "#same")
    columns = ("version", "last written", *counts, "which steps", "run")

    def row(v: Version) -> tuple[object, ...]:
        when = f"{v.when:%Y-%m-%d %H:%M} UTC"
        name = f"{v.name}, as {v.like}" if v.like else v.name
        numbers = ("–" if n is None else n for n in (v.added, v.changed, v.removed, v.same))
        return name, when, *numbers, v.which, v.made_by.get("run", "")

    table(name, columns, [row(version) for version in found])
    if not found:
        out.print("Nothing is published yet.")


def lineage(made: Lineage) -> None:
    """A tree: the value, and below it what it was made from."""
    from rich.tree import Tree

    def grown(node: Lineage, tree: Tree) -> Tree:
        for value in node.values:
            tree.add(Text(_value_line(value)))
        for words in _made_lines(node):
            tree.add(Text(words, style="dim"))
        for words in _bounded(_file_line(*file) for file in node.files.items()):
            tree.add(Text(words))
        for given in node.inputs:
            grown(given, tree.add(Text(_title(given), style="bold")))
        return tree

    out.print(grown(made, Tree(Text(_title(made), style="bold"))))


def _title(node: Lineage) -> str:
    where = ", ".join(f"{axis} {cell}" for axis, cell in node.where.items())
    window = f"; the block rests on {node.window}" if node.window else ""
    remark = f" ({node.remark})" if node.remark else ""
    return f"{node.dataset}: {where} [{node.state}; block {node.block}{window}]{remark}"


def _value_line(value: Value) -> str:
    missing = f" ({value.missing} of {value.cells} missing)" if value.missing else ""
    units = f" {value.units}" if value.units not in ("", "1") else ""
    return f"{value.name} = {value.shown}{units if value.shown != 'no value' else ''}{missing}"


def _file_line(step: str, file: Mapping[str, Any]) -> str:
    digest = f"SHA-256 {file['sha256'][:16]}…"
    return f"file of {step}: {file['path']} ({size(file['size'])}, {digest})"


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    """The first of many lines, and how many more there are."""
    given = iter(lines)
    yield from islice(given, SHOWN_LINES)
    more = sum(1 for _ in given)
    if more:
        yield f"… and {more} more (all of them with --json)"


def _made_lines(node: Lineage) -> Iterator[str]:
    made = node.made
    if "when" in made and "run" in made:
        commit = made.get("code_commit", "")
        changed = " and changes to it" if commit.endswith("+") else ""
        code = f", code {commit[:12]}{changed}" if commit else ""
        key = f", key {made['key'][:16]}" if "key" in made else ""
        yield f"made {made['when']} by run {made['run']}{code}{key}"
    for name in ("options", "weights"):
        if made.get(name):
            yield f"{name}: {_flat(made[name])}"
    if made.get("code"):
        yield f"code: {len(made['code'])} modules (their digests with --json)"
    yield from _bounded(f"note: {step}: {note}" for step, note in made.get("notes", {}).items())


def _flat(values: Mapping[str, Any]) -> str:
    """Nested options in a line: ``0 Regrid (min_valid 0.5); 1 BulkFlux (name coare36)``."""

    def inner(value: Any) -> str:
        if not isinstance(value, Mapping):
            return str(value)
        parts = (f"{name} {part}" for name, part in value.items() if name not in HIDDEN)
        return f"({', '.join(parts)})"

    told = ((name, value) for name, value in values.items() if name not in IN_KEY_ALONE)
    return "; ".join(f"{name} {inner(value)}" for name, value in told)


def size(number: float) -> str:
    """Bytes in words."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError
