"""What a simulated archive says of itself: whose world it is, and which days of what it holds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from fluxengine.errors import FluxforgeError
from fluxengine.files import NOTICE
from fluxrecipes.nature.files.kinds import whole
from fluxrecipes.nature.world import World
from fluxrecipes.stored import SIMULATED

VERSION = 4  # of the world: raise it when the same seed no longer gives the same bytes
Periods = list[tuple[date, date]]  # first and last days, both included

_RECORD = "world.json"
_README = """SIMULATED DATA. These files are not the providers'.

fluxforge made them from an imagined world (seed {seed}, version {version}), in the formats of
the providers whose names the folders bear, so that the recipes can be tested against a known
truth. Nothing in them was ever observed; the names of satellites, buoys and ships only say
whose orbit, layout and position were imitated. Do not pass them on as data of those providers.

rss/         Remote Sensing Systems: daily bytemaps of each satellite, and their averages
oisst/       NOAA OISST v2.1, daily NetCDF
era5/        ECMWF ERA5 as the Climate Data Store delivers it: YYYY/MM/era5_YYYYMMDD.nc, and
             era5_YYYYMMDD_accum.nc for what is accumulated over an hour
reanalysis/  fields of that reanalysis at the times of the passes, on 1 degree, as a Zarr store
ndbc/        NDBC standard meteorological text: historical/stdmet/STATIONhYYYY.txt.gz
gtmba/       TAO/TRITON, PIRATA and RAMA: YYYY/VARIABLEsite_dy.cdf (daily) and _hr.cdf (hourly)
oceansites/  WHOTS, Stratus and NTAS: DATA/SITE/OS_SITE_YYYY_D_M.nc, hourly
icoads/      ships' reports in IMMA1: IMMA1_R3.0.0_YYYY-MM.gz
truth/       the truth itself, as Zarr stores

Which of them are here, and for which days: world.json.
"""
_NOTICE = SIMULATED + "an imagined world (seed {seed}): no observation went into it.\n"


class ForeignFolder(FluxforgeError, ValueError):
    """The folder holds files that are no simulated archive."""

    code = "FF601"


class OtherWorld(FluxforgeError, ValueError):
    """The folder holds the archive of another simulated world."""

    code = "FF602"


class Record:
    """The record of one archive.

    Parameters
    ----------
    root : Path
        Folder of the archive.
    world : World
    holds : dict
        Periods of each kind of file, by its name.
    hours : list of int, optional
        Of the day, for which the ERA5-like files are made; one choice for a whole archive.
    """

    def __init__(
        self, root: Path, world: World, holds: dict[str, Periods], hours: list[int] | None = None
    ) -> None:
        self.root, self.world, self.holds, self.hours = root, world, holds, hours

    @classmethod
    def claim(cls, root: Path, world: World) -> Record:
        """Make sure that the folder is free or this world's.

        Raises
        ------
        ForeignFolder, OtherWorld
        """
        path = root / _RECORD
        if not path.exists():
            if root.exists() and any(root.iterdir()):
                raise ForeignFolder(
                    "the folder holds files that are no simulated archive",
                    where=str(root),
                    mend="Choose a new or an empty folder.",
                )
            root.mkdir(parents=True, exist_ok=True)
            record = cls(root, world, {})
            record.write()
            return record
        return cls._read(root, world, path)

    @classmethod
    def _read(cls, root: Path, world: World, path: Path) -> Record:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            same = all(found[name] == value for name, value in _identity(world).items())
            holds = {kind: _periods(days) for kind, days in found["holds"].items()} if same else {}
            hours = [int(hour) for hour in found["hours"]] if found.get("hours") else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ForeignFolder(
                "the record of the simulated archive cannot be read",
                where=str(path),
                mend="Remove the folder and simulate again.",
            ) from error
        if not same:
            raise OtherWorld(
                f"the folder holds another simulated world (seed {found['seed']}, version "
                f"{found['version']})",
                where=str(root),
                mend=f"Choose another folder for seed {world.seed}, or remove this one.",
            )
        return cls(root, world, holds, hours)

    def fix_hours(self, hours: Iterable[int]) -> None:
        """Settle the hours of the ERA5-like files.

        Raises
        ------
        OtherWorld
            Where the archive has others: a day's file would not be what its neighbours are.
        """
        asked = sorted(hours)
        if self.hours not in (None, asked):
            raise OtherWorld(
                f"the archive's ERA5-like files hold the hours {self.hours}, not {asked}",
                where=str(self.root),
                mend="Ask for the same hours, or choose another folder.",
            )
        self.hours = asked

    def add(self, kind: str, days: Iterable[date]) -> None:
        """Note that days of a kind are here."""
        periods = merge_periods([*self.holds.get(kind, []), *((day, day) for day in days)])
        if periods:
            self.holds[kind] = periods

    def held(self, kind: str, year: int) -> list[date]:
        """Days of a year that are here."""
        days = (day for period in self.holds.get(kind, []) for day in days_of(*period))
        return [day for day in days if day.year == year]

    def write(self, folders: Iterable[str] = ()) -> None:
        """Write the record, the readme, and in each provider's folder the notice.

        What another process noted meanwhile stays.
        """
        self._take_in_what_is_there()
        text = {
            "simulated": True,
            "notice": "Simulated by fluxforge; not the providers' data.",
            **_identity(self.world),
            **({"hours": self.hours} if self.hours else {}),
            "holds": {
                kind: [[str(first), str(last)] for first, last in self.holds[kind]]
                for kind in sorted(self.holds)
            },
        }
        _put(self.root / _RECORD, json.dumps(text, indent=1) + "\n")
        _put(self.root / "README.txt", _README.format(seed=self.world.seed, version=VERSION))
        for folder in folders:  # ingest carries it on into the datasets made from the files
            _put(self.root / folder / NOTICE, _NOTICE.format(seed=self.world.seed))

    def _take_in_what_is_there(self) -> None:
        path = self.root / _RECORD
        if path.exists():
            there = self._read(self.root, self.world, path)
            for kind, periods in there.holds.items():
                self.holds[kind] = merge_periods([*self.holds.get(kind, []), *periods])
            self.hours = self.hours or there.hours


def merge_periods(periods: Iterable[tuple[date, date]]) -> Periods:
    """Join periods (both ends included) that overlap or touch; sorted."""
    merged: Periods = []
    for first, last in sorted(periods):
        if merged and first <= merged[-1][1] + timedelta(days=1):
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def days_of(first: date, last: date) -> list[date]:
    """Days of a period, both ends included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _periods(found: list[list[str]]) -> Periods:
    return [(date.fromisoformat(first), date.fromisoformat(last)) for first, last in found]


def _identity(world: World) -> dict[str, Any]:
    return {"seed": world.seed, "version": VERSION, "physics": asdict(world.physics)}


def _put(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")
