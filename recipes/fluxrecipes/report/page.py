"""One page of HTML on a record, with nothing to fetch, and its pictures beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fluxengine.outages import check_folder
from fluxengine.provenance import code_commit
from fluxengine.repository import storage_errors
from fluxrecipes.report import calendar, charts, coverage, fields, findings, origins, pictures
from fluxrecipes.report.coverage import KINDS, Coverage, Days, Kind
from fluxrecipes.report.frames import Film, Sheet, choose, films
from fluxrecipes.report.maps import title_of
from fluxrecipes.report.pictures import Picture
from fluxrecipes.report.subject import Subject
from fluxrecipes.report.template import rendered
from fluxrecipes.report.units import shown as shown_as

if TYPE_CHECKING:
    import xarray as xr

    from fluxengine.show import Bars
    from fluxrecipes.matchups.report import Validated

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BUDGET = 15_000_000  # bytes of the page
TEXT = 1_000_000  # of them, what is neither picture nor list of days, at most
FRAMES = 9_000_000  # of them, frames, where this leaves room for pictures
LISTED = 500  # reasons and ranges in a table
OPEN = 20  # rows of a table that need not be unfolded
SHARES = ("observed", "filled", "reanalysis", "without a value")


@dataclass(frozen=True)
class Quantity:
    """A variable as a page shows it.

    Parameters
    ----------
    name, title, units : str
    films : dict of str to Film
    mean : DataArray
        Over the period, on (lat, lon).
    times : datetime64[D] array, shape (time,)
    series : float array, shape (time,)
        Global means in `units`.
    share : float
        Of the sea's area, that they are over.
    """

    name: str
    title: str
    units: str
    films: dict[str, Film]
    mean: xr.DataArray
    times: Days
    series: Floats
    share: float


@dataclass(frozen=True)
class Report:
    """What was written.

    Parameters
    ----------
    page : Path
    size : int
        Bytes.
    pictures : tuple of Path
    days : dict of str to int
        Number of each kind.
    frames : str
        Which are on the slider.
    remarks : tuple of str
        What is not there, and the command that makes it.
    """

    page: Path
    size: int
    pictures: tuple[Path, ...]
    days: dict[str, int]
    frames: str
    remarks: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return self.__dict__ | {
            "page": str(self.page),
            "pictures": [str(path) for path in self.pictures],
        }


def make(
    subject: Subject, out: Path, bars: Bars, *, trends: Path | None, matchups: Path | None
) -> Report:
    """Make the page and its pictures.

    Parameters
    ----------
    subject : Subject
    out : Path
        Folder of ``report.html`` and ``pictures/``; files of these names are replaced, each at
        once, when all are made, and pictures of a former report are removed.
    bars : Bars
        Show how far it is.
    trends : Path, optional
        Folder that `fluxforge trends` wrote.
    matchups : Path, optional
        File that `fluxforge matchup` wrote.

    Raises
    ------
    ConfigError
        FF201: what was given is none of these, or no files can be made in `out`.
    """
    check_folder(out)
    found = None if trends is None else findings.trends(trends)
    scored = None if matchups is None else _scored(matchups, bars)
    remarks = (*subject.remarks, *_lacking(trends, matchups))
    days = _counted(subject, bars)
    land = _land(subject, days)
    shown = _variables(subject, land, bars)
    chain = _chain(subject, bars)
    with _folder(out) as unfinished:
        drawn = _pictures(unfinished, subject, days, land, shown, found, scored, bars)
        listed = base64.b64encode(days.table().encode()).decode("ascii")
        taken = TEXT + len(listed) + sum(len(one.image) for one in drawn)
        chosen = choose([one.films for one in shown], BUDGET - taken)
        text = rendered(
            subject=subject,
            remarks=remarks,
            days=days,
            listed=listed,
            calendar=calendar.drawn(days),
            shares=_shares(days),
            sheet=Sheet(*(_degrees(shown[0].mean, axis) for axis in ("lat", "lon"))),
            chosen=chosen,
            films=[one.as_json() for one in chosen.films],
            lines=[charts.line(s.title, s.units, s.times, s.series) for s in shown],
            shown=shown,
            note=_note(subject, shown),
            trends=found,
            scored=scored,
            unlike=() if scored is None else findings.unlike(scored, subject),
            sections=() if scored is None else findings.sections_of(scored),
            pictures={one.name: one for one in drawn},
            of_scores=[one for one in drawn if one.of == "scores"],
            chain=chain,
            weights={file: digest for one in chain for file, digest in one.weights.items()},
            troubles=origins.troubles(chain),
            attributes=origins.attributes(subject),
            versions=origins.versions(subject),
            commit=code_commit(),
            kinds=[(kind.name.lower(), *KINDS[kind], kind) for kind in Kind],
            listed_at_most=LISTED,
            open_at_most=OPEN,
        )
        (unfinished / "report.html").write_text(text, encoding="utf-8")
    kept = [out / "pictures" / f"{p.name}.{kind}" for p in drawn for kind in ("png", "pdf")]
    numbers = {KINDS[kind][0]: days.number(kind) for kind in Kind}
    size = (out / "report.html").stat().st_size
    return Report(out / "report.html", size, tuple(kept), numbers, chosen.told, remarks)


def _lacking(trends: Path | None, matchups: Path | None) -> Iterator[str]:
    if matchups is None:
        yield (
            "Scores against reports from the sea: `fluxforge matchup -c run.yaml --out matchups.nc`"
            " brings both together, then say `--matchups matchups.nc`."
        )
    if trends is None:
        yield (
            "Trends: `fluxforge trends -c trends.yaml` finds them, of deepflux-monthly, then say"
            " `--trends FOLDER`."
        )


# --- parts ---------------------------------------------------------------------------------------


def _scored(matchups: Path, bars: Bars) -> Validated:
    bars.begin("scores", 1)
    found = findings.scores(matchups)
    bars.advance("scores")
    return found


def _counted(subject: Subject, bars: Bars) -> Coverage:
    states = subject.record[subject.state]
    steps = coverage.steps_of(states, subject.days)
    bars.begin("coverage", sum(one.stop - one.start for one in steps))
    return coverage.read(states, subject.days, lambda days: bars.advance("coverage", days))


def _land(subject: Subject, days: Coverage) -> Flags:
    """Where there is land, on the grid that maps are shown on."""
    cells = subject.record[subject.state][0].copy(data=days.land.astype(np.float32))
    return np.asarray(fields.coarse(cells).values > 0.5)


def _variables(subject: Subject, land: Flags, bars: Bars) -> list[Quantity]:
    """One variable after the other: of each, no more is kept than is shown."""
    bars.begin("maps", sum(fields.steps_to_read(subject, name) for name in subject.variables))
    share = FRAMES // len(subject.variables)
    return [_variable(subject, name, land, share, bars) for name in subject.variables]


def _variable(subject: Subject, name: str, land: Flags, budget: int, bars: Bars) -> Quantity:
    values = fields.fields(subject, name, lambda steps: bars.advance("maps", steps))
    title = title_of(str(values.attrs.get("long_name", name.replace("_", " "))))
    title = title[:1].upper() + title[1:]
    units, factor, offset = shown_as(str(values.attrs.get("units", "1")))[:3]
    sheet = Sheet(_degrees(values, "lat"), _degrees(values, "lon"))
    series, share = fields.global_mean(values)
    times = values["time"].values.astype("M8[D]")
    made = films(values, title, sheet, land, budget)
    mean = fields.over_time(values, fields.days_of(subject))
    return Quantity(name, title, units, made, mean, times, series * factor + offset, share)


def _degrees(values: xr.DataArray, name: str) -> Floats:
    """Coordinates of an axis in degrees."""
    return np.asarray(values[name].values, np.float64)


def _chain(subject: Subject, bars: Bars) -> list[origins.Link]:
    bars.begin("provenance", len(subject.chain))
    return list(origins.links(subject, lambda one: bars.advance("provenance", one)))


def _shares(days: Coverage) -> charts.Chart:
    """Of days, or of a longer period the means of months."""
    when, shares = days.days, days.shares
    title = "Share of the open sea's cells"
    if len(when) > 400:
        months = when.astype("M8[M]")
        when = np.unique(months)
        shares = np.stack([shares[months == month].mean(axis=0) for month in when])
        title += ", by month"
    return charts.areas(title, when.astype("M8[D]"), shares, SHARES)


def _note(subject: Subject, shown: Sequence[Quantity]) -> str:
    steps = "days" if subject.by_days else "months"
    low = min(one.share for one in shown)
    return (
        f"Area-weighted, over the cells that have a value in all {steps}:"
        f" {100 * low:.1f} % of the area of those that ever have one, or more."
        + "".join(_cut_short(subject, shown[0].times))
    )


def _cut_short(subject: Subject, times: Days) -> Iterator[str]:
    """Of a record told by months: those of which the period has some days alone."""
    if subject.by_days:
        return
    months = times.astype("M8[M]")
    lengths = ((months + 1).astype("M8[D]") - months.astype("M8[D]")).astype(int)
    numbers = fields.days_in(months, fields.days_of(subject))
    for month, number, length in zip(months, numbers, lengths, strict=True):
        if number < length:
            yield f" {month} is of {number} of its {length} days."


def _pictures(
    folder: Path,
    subject: Subject,
    days: Coverage,
    land: Flags,
    shown: Sequence[Quantity],
    found: findings.Trends | None,
    scored: Validated | None,
    bars: Bars,
) -> list[Picture]:
    world = "SIMULATED " if subject.is_simulated else ""
    what = f"{world}{subject.product.name} {subject.version}, {subject.first} to {subject.last}"
    into = folder / "pictures"
    into.mkdir()
    bars.begin("pictures", 3 + (len(found.panels) if found else 0))  # those of scores come unasked

    def each() -> Iterator[Picture]:
        yield pictures.calendar(into, days, what)
        titles = {one.name: one.title for one in shown}
        yield pictures.means(into, {s.name: s.mean for s in shown}, titles, land, what)
        lines = [(s.title, s.units, s.times, s.series) for s in shown]
        yield pictures.series(into, lines, _note(subject, shown), what)
        if scored is not None:
            yield from pictures.matchups(into, scored)
        if found is not None:
            yield from pictures.trends(into, found)

    drawn = []
    for one in each():
        drawn.append(one)
        if one.of != "scores":
            bars.advance("pictures")
    return drawn


# --- the page ------------------------------------------------------------------------------------


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A folder for what is being made, put into place file by file once all is there.

    Pictures of a former report that this one does not make are removed then.

    Yields
    ------
    Path
        Of which ``report.html`` and ``pictures/`` go into `out`.
    """
    with storage_errors(out):
        (out / "pictures").mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".unfinished-", dir=out) as name:
            unfinished = Path(name)
            yield unfinished
            made = sorted((unfinished / "pictures").iterdir())
            for path in made:
                path.replace(out / "pictures" / path.name)
            (unfinished / "report.html").replace(out / "report.html")
        # No page names them any more, and they are of another record or period.
        pictures.clear(out / "pictures", {path.name for path in made})
