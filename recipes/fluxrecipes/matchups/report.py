"""Validation against reports: tables for the eye, numbers for machines, pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fluxengine import place, show
from fluxengine.errors import ConfigError
from fluxengine.repository import storage_errors
from fluxkernels.stats.agreement import Agreement, Interval
from fluxrecipes.matchups import file, pictures, published, scores
from fluxrecipes.matchups.beside import KEPT, KEPT_BACK, SETS, TEST
from fluxrecipes.matchups.file import Stored
from fluxrecipes.matchups.scores import ALL, Score
from fluxrecipes.skill import protocol
from fluxrecipes.sources.reports import FEEDS

Flags = npt.NDArray[np.bool_]

HELD_OUT = (TEST, KEPT_BACK)
# Of the table of scores; numbers begin with '#'.
HEADS = (
    *("by", "group", "#points", "#stations", "#RMSE", "95 %", "#bias", "95 %"),
    *("#r", "#centred", "#σ ratio", "#slope", "#95th", "#99th"),
)


@dataclass(frozen=True)
class Validated:
    """What was found.

    Parameters
    ----------
    stored : Stored
    counted : bool array
        Matchups that were scored.
    scores : list of Score
    opened_before : int or None
        How often held-out matchups were looked at before; None where they were not.
    """

    stored: Stored
    counted: Flags
    scores: list[Score]
    opened_before: int | None

    @property
    def world(self) -> str:
        """Whether the record and the reports are real."""
        told = self.stored.attrs.get("simulated", "no")
        return "measured here" if told == "no" else f"measured here, SIMULATED world ({told})"

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        told = self.stored.attrs.get("simulated", "no")
        return {
            "simulated": None if told == "no" else told,
            "source": self.stored.attrs.get("source"),
            "points": int(self.counted.sum()),
            "opened_before": self.opened_before,
            "scores": [one.as_json() for one in self.scores],
            "published": [row._asdict() for row in published.TABLE_4],
        }


def of(path: Path, *, held_out: bool, purpose: str) -> Validated:
    """Score a file of matchups.

    Parameters
    ----------
    path : Path
    held_out : bool
        Also of the test year and of the withheld stations: that is written down.
    purpose : str
        What for, where held-out matchups are looked at.

    Raises
    ------
    ConfigError
        FF201: no such file, no purpose, or no matchup counts.
    """
    stored = file.read(path)
    counted = stored.verdicts == KEPT
    kept_back = counted & np.isin(stored.sets, HELD_OUT)
    before = None
    if held_out and kept_back.any():
        if not purpose:
            raise ConfigError(
                "the test year and the withheld stations are to be looked at, and it is not said"
                " what for.",
                where="--held-out",
                mend="Say it with --purpose: it is written into openings.jsonl beside the file.",
            )
        names = [SETS[code] for code in HELD_OUT if (stored.sets[kept_back] == code).any()]
        what = "matchups: " + ", ".join(names)
        log = place.at(path.resolve().parent)
        before = protocol.opened(log, protocol.Opening(what, purpose, {}))
    if not held_out:
        counted = counted & ~kept_back
    found = scores.scores(stored, counted)
    if not found:
        raise ConfigError(
            "no matchup counts: all are left out, or held out.",
            where=str(path),
            mend="`fluxforge matchup` tells why matchups do not count.",
        )
    return Validated(stored, counted, found, before)


# --- tables --------------------------------------------------------------------------------------


def tables(found: Validated) -> None:
    """Print what was found."""
    show.out.print(f"[bold]Record against reports from the sea[/]: {found.world}")
    if found.opened_before is not None:
        show.out.print(f"Held out: opened {found.opened_before} times before this.")
    _as_table_4(found)
    for variable, several in scores.by_variable(found.scores).items():
        unit = several[0].units
        show.out.print()
        show.table(f"{variable} [{unit}]", HEADS, [row(one) for one in several], wide=True)
    show.out.print(
        "\nAll variables of a group are on the same points. 95 %: by resampling whole stations."
        " σ ratio: standard deviation of the record over the reports'. 95th, 99th: percentiles of"
        " the record less the reports'."
    )


def row(one: Score) -> tuple[str, ...]:
    """Cells of a table with `HEADS`."""
    agreed = one.agreement
    digits = 3 if one.units in ("°C", "g/kg", "m/s") else 2
    ratio = agreed.spread.value / agreed.spread_of_reference.value
    return (
        one.by,
        "" if one.group == ALL else one.group,
        f"{agreed.points:,}",
        str(agreed.clusters),
        f"{agreed.rmse.value:.{digits}f}",
        _range(agreed.rmse, digits),
        f"{agreed.bias.value:+.{digits}f}",
        _range(agreed.bias, digits, "+"),
        f"{agreed.correlation.value:.3f}",
        f"{agreed.centred.value:.{digits}f}",
        f"{ratio:.3f}",
        f"{agreed.slope.value:.3f}",
        f"{agreed.p95:+.{digits}f}",
        f"{agreed.p99:+.{digits}f}",
    )


def _range(interval: Interval, digits: int, sign: str = "") -> str:
    if not np.isfinite(interval.low):
        return ""
    return f"{interval.low:{sign}.{digits}f} to {interval.high:{sign}.{digits}f}"


def _as_table_4(found: Validated) -> None:
    """The paper's table 4 with its published figures, and ours beside."""
    names = (published.AIR, published.HUMIDITY, published.SENSIBLE, published.LATENT)
    heads = ("dataset", "figures", "#Ta [°C]", "#Qa [g/kg]", "#SHF [W/m²]", "#LHF [W/m²]")
    for what in ("rmse", "correlation"):
        rows: list[tuple[str, ...]] = []
        for row in published.TABLE_4:
            given = getattr(row, what)
            values = (f"{given[name]:.2f}" if name in given else "" for name in names)
            rows.append((f"{row.product} {row.orbit}".strip(), "published", *values))
        for group, by in (("ascending", "pass"), ("descending", "pass"), (ALL, ALL)):
            agreed = [scores.one(found.scores, v, by, group) for v in pictures.VARIABLES]
            values = (f"{getattr(a, what).value:.2f}" if a else "" for a in agreed)
            label = "both passes" if group == ALL else group
            rows.append((f"this record, {label}", found.world, *values))
        show.out.print()
        title = "RMSE" if what == "rmse" else "correlation"
        show.table(f"{title}; published: {published.PAPER}", heads, rows, wide=True)
    show.out.print(
        "Published figures are of real reports of 1992 to 2020 and of other cells and days: they"
        " stand beside ours, and are no common sample."
    )


# --- files ---------------------------------------------------------------------------------------


def write(found: Validated, folder: Path) -> list[Path]:
    """Write numbers and pictures into a folder; give their paths."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        numbers = folder / "validation.json"
        numbers.write_text(json.dumps(found.as_json(), indent=2, allow_nan=False) + "\n")
        return [numbers, *_pictures(found, folder)]


def _pictures(found: Validated, folder: Path) -> Iterable[Path]:
    overall = {s.variable: s.agreement for s in found.scores if s.by == ALL}
    wind = [name for name in ("wind of the satellite", "wind, corrected") if name in overall]
    members = found.counted
    compared = [
        (variable, units, x[members], y[members])
        for variable, units, x, y in scores.compared(found.stored)
        if variable in (*pictures.VARIABLES, *wind)
    ]
    yield pictures.densities(
        compared,
        overall,
        folder / "densities.png",
        title=f"Record against reports: {found.world}",
    )
    yield pictures.taylor(
        {v: _labelled(found.scores, v) for v in pictures.VARIABLES if v in overall},
        folder / "taylor.png",
        title=f"Record against reports: {found.world}",
    )
    matchups = found.stored.found.matchups
    feeds = {name: members & (matchups.feed == code) for code, name in FEEDS.items()}
    yield pictures.places(
        matchups.latitude,
        matchups.longitude,
        feeds,
        folder / "places.png",
        title=f"Matchups: {found.world}",
    )


def _labelled(several: list[Score], variable: str) -> dict[str, Agreement]:
    """What a Taylor diagram shows of a variable: passes, and the kinds of cells."""
    wanted = (
        ("pass", "ascending"),
        ("pass", "descending"),
        ("fill", "observed"),
        ("fill", "filled"),
    )
    found = {group: scores.one(several, variable, by, group) for by, group in wanted}
    bulk = scores.one(several, f"{variable}, bulk", ALL, ALL)
    return {k: v for k, v in (found | {"before its correction": bulk}).items() if v is not None}
