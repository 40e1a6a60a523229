"""What other verbs found, for a report: trends, and scores against reports from the sea."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fluxengine.errors import ConfigError
from fluxrecipes.report.maps import Panel
from fluxrecipes.tables import Section, Table

if TYPE_CHECKING:
    import xarray as xr

    from fluxrecipes.matchups.report import Validated
    from fluxrecipes.report.subject import Subject
    from fluxrecipes.trends.estimates import Estimate

MAKES_TRENDS = "`fluxforge trends -c trends.yaml` writes trends.json and trends.nc into a folder."
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Trends:
    """What `fluxforge trends` wrote into a folder.

    Parameters
    ----------
    title : str
        Years and record.
    simulated : str
        Of which simulated world; nothing where the record is real.
    removed : tuple of str
        What was taken out beside the trend.
    panels : dict of str to Panel
        Map of each variable.
    tables : tuple of Table
    """

    title: str
    simulated: str
    removed: tuple[str, ...]
    panels: dict[str, Panel]
    tables: tuple[Table, ...]

    @property
    def is_tested(self) -> bool:
        """Whether it is known where such trends can be observed."""
        return any(panel.crosses is not None for panel in self.panels.values())


def trends(folder: Path) -> Trends:
    """Read a folder of `fluxforge trends`.

    Raises
    ------
    ConfigError
        FF201: there is no such folder, or its files are none of trends.
    """
    import xarray as xr

    from fluxrecipes.trends.report import OF

    numbers, maps = folder / "trends.json", folder / "trends.nc"
    for path in (numbers, maps):
        if not path.is_file():
            raise ConfigError("there is no such file.", where=str(path), mend=MAKES_TRENDS)
    try:
        told = json.loads(numbers.read_text(encoding="utf-8"))
        tables = tuple(_tables(told))
        first, last = told["years"]
        title = f"{OF[told['of']]} of {told['dataset']}, {first} to {last}"
        simulated, removed = str(told["simulated"] or ""), tuple(map(str, told["removed"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        what = f"these are no trends ({type(error).__name__}: {error})."
        raise ConfigError(what, where=str(numbers), mend=MAKES_TRENDS) from error
    try:
        with xr.open_dataset(maps, engine="netcdf4") as opened:
            panels = _panels(opened.load())
    except (OSError, ValueError, KeyError) as error:
        what = f"it cannot be read ({error})."
        raise ConfigError(what, where=str(maps), mend=MAKES_TRENDS) from error
    if not panels:
        raise ConfigError("it has no map of a trend.", where=str(maps), mend=MAKES_TRENDS)
    return Trends(title, simulated, removed, panels, tables)


def _panels(maps: xr.Dataset) -> dict[str, Panel]:
    """Of the mean of passes."""
    from fluxrecipes.trends.records import OBSERVABLE
    from fluxrecipes.trends.report import panel

    found = {}
    names = [str(n).removesuffix("_trend") for n in maps if str(n).endswith("_trend")]
    for name in filter(NAME.fullmatch, names):
        trend = maps[f"{name}_trend"].rename(name)
        if trend.dims != ("lat", "lon"):
            continue
        units = str(trend.attrs.get("units", "1")).removesuffix("decade-1").strip() or "1"
        observable = maps.get(f"{name}{OBSERVABLE}")
        own = trend.assign_attrs(units=units)
        found[name] = panel(own, maps[f"{name}_significant"] == 1, observable)
    return found


def _tables(told: Mapping[str, Any]) -> Iterable[Table]:
    from fluxrecipes.report.units import shown
    from fluxrecipes.trends.report import TESTS

    def table(title: str, by: str, several: Sequence[tuple[str, Estimate]]) -> Table:
        from fluxrecipes.trends.report import row

        unit = shown(several[0][1].units).unit
        heads = ("region", by, "#trend", "#± 95 %", *TESTS)
        return Table(f"{title} [{unit} per decade]", heads, tuple(row(n, e) for n, e in several))

    regions = [_estimate(one) for one in told["regions"]]
    for variable in dict.fromkeys(one.variable for one in regions):
        mine = [(one.orbit, one) for one in regions if one.variable == variable]
        yield table(variable.replace("_", " "), "orbit", mine)
    for flux, parts in told["causes"].items():
        some = [_estimate(one) for one in parts]
        whole = [(one.variable.replace("_", " "), one) for one in some if one.region == "global"]
        if whole:
            title = f"what contributes to {flux.replace('_', ' ')}, global"
            yield table(title, "variable", whole)
    beside = [(name, _estimate(one)) for name, many in told["beside"].items() for one in many]
    for variable in dict.fromkeys(one.variable for _, one in beside):
        several = [(name, one) for name, one in beside if one.variable == variable]
        several.sort(key=lambda pair: pair[1].region)
        title = f"{variable.replace('_', ' ')} beside other records: common cells and years"
        yield table(title, "record", several)


def _estimate(told: Mapping[str, Any]) -> Estimate:
    """From JSON, where what has no value is None; a newer file may say more."""
    from fluxrecipes.trends.estimates import Estimate

    known: dict[str, Any] = {one.name: told[one.name] for one in fields(Estimate)}
    return Estimate(**known | {name: np.nan for name, value in known.items() if value is None})


# --- against reports -----------------------------------------------------------------------------


def scores(path: Path) -> Validated:
    """Score a file of matchups; what is held out stays closed.

    Raises
    ------
    ConfigError
        FF201: no such file, or no matchup counts.
    """
    from fluxrecipes.matchups import report

    return report.of(path, held_out=False, purpose="")


def unlike(validated: Validated, subject: Subject) -> tuple[str, ...]:
    """What scores are of, where it is not the record and the period of a report; in words."""
    stored, root = validated.stored, str(subject.store.root)
    period, own = " to ".join(stored.period), f"{subject.first} to {subject.last}"
    told = []
    if stored.source != root:
        source = stored.source or "a store that the file does not name"
        told.append(f"the matchups are of {source}, and this record is of {root}")
    if period != own:
        told.append(f"the matchups are of {period}, and this report of {own}")
    return tuple(told)


def sections_of(validated: Validated) -> tuple[Section, ...]:
    """The tables that `fluxforge validate --matchups` prints."""
    from fluxrecipes.matchups import tables

    return tuple(tables.sections(validated))
