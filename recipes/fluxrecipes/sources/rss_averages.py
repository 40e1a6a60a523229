"""Averaged ocean maps of Remote Sensing Systems: of three days, of weeks, of months, 0.25 degrees.

The layers of the daily maps (`rss`) without the time and without passes: gzip of headerless bytes,
C order (layer, lat=720, lon=1440), with the same scales and codes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fluxengine.declare import Source, Variable
from fluxengine.errors import DamagedFile, WrongFile
from fluxengine.grid import DAY, Axis, Grid, degrees, every, months
from fluxrecipes.sources import netcdf, rss, rss_conversions
from fluxrecipes.sources.gzipped import FETCH_AGAIN, gunzip

if TYPE_CHECKING:
    import xarray as xr

SATURDAY = 5  # as `date.weekday` counts
BLOCK = 10  # maps, each a chunk of its own


@dataclass(frozen=True)
class Average:
    """A kind of averaged map.

    Parameters
    ----------
    name, what : str
        As in the names of datasets, and for people.
    axis : callable
        From an instrument to the time axis.
    path : callable
        From an instrument and the day on which a mean begins to the path below the archive's root.
        Means of three days overlap: each stands at its last day.
    """

    name: str
    what: str
    axis: Callable[[rss.Instrument], Axis]
    path: Callable[[rss.Instrument, date], str]


def _three_days(instrument: rss.Instrument, day: date) -> str:
    name = f"{instrument.prefix}_{day:%Y%m%d}{instrument.version}_d3d.gz"
    return f"{instrument.folder}/y{day:%Y}/m{day:%m}/{name}"


def _week(instrument: rss.Instrument, sunday: date) -> str:
    saturday = sunday + timedelta(days=6)
    return f"{instrument.folder}/weeks/{instrument.prefix}_{saturday:%Y%m%d}{instrument.version}.gz"


def _month(instrument: rss.Instrument, day: date) -> str:
    name = f"{instrument.prefix}_{day:%Y%m}{instrument.version}.gz"
    return f"{instrument.folder}/y{day:%Y}/m{day:%m}/{name}"


def _months(instrument: rss.Instrument) -> Axis:
    return months(
        instrument.first[:7], instrument.last and instrument.last[:7], block=BLOCK, chunk=1
    )


def _weeks(instrument: rss.Instrument) -> Axis:
    """From Sunday to Saturday: all that lie wholly or partly in the instrument's period."""
    first = date.fromisoformat(instrument.first)
    begin = first - timedelta(days=(first.weekday() - SATURDAY - 1) % 7)
    if instrument.last is None:
        return every(7 * DAY, str(begin), block=BLOCK, chunk=1)
    last = date.fromisoformat(instrument.last)
    end = last + timedelta(days=(SATURDAY - last.weekday()) % 7)
    return every(7 * DAY, str(begin), str(end), block=BLOCK, chunk=1)


AVERAGES = (
    Average("3day", "means of three days, each at its last", rss.days_of, _three_days),
    Average("weekly", "means of weeks, Sunday to Saturday", _weeks, _week),
    Average("monthly", "means of months", _months, _month),
)


@dataclass(frozen=True)
class Maps:
    """One instrument's maps of one kind."""

    instrument: rss.Instrument
    average: Average

    @property
    def layers(self) -> tuple[Variable, ...]:
        """In the file's order."""
        return self.instrument.layers[1:]

    def path(self, day: date) -> str:
        """Where the provider keeps the mean that stands at a day."""
        return self.average.path(self.instrument, day)

    def decode(self, path: Path, day: date) -> xr.Dataset:
        """One averaged map as packed values and flags.

        Parameters
        ----------
        path : Path
            A local file under the provider's name.
        day : date
            The day at which the mean stands: the last of three, a Sunday, the first of a month.

        Returns
        -------
        xarray.Dataset
            uint8, dims (time=1, lat=720, lon=1440); packing in each variable's attributes.

        Raises
        ------
        MissingFile, DamagedFile
            No file; not gzip, truncated, of no known length.
        WrongFile
            Of another time, sensor or version, or a daily map: a week's has the same name as that
            of its Saturday, and only the length tells them apart.
        """
        import xarray as xr

        expected = Path(self.path(day)).name
        converted = netcdf.is_netcdf_file(path)
        if expected not in (path.name, rss.bytemap_name(path.name) if converted else ""):
            raise WrongFile(f"its name is not {expected}.", where=str(path))
        read = self._converted if converted else self._read
        return xr.Dataset(rss.packed(read(path), self.layers, ("time", "lat", "lon")))

    def _converted(self, path: Path) -> rss.Bytes:
        """The bytes of a map that someone has put into NetCDF."""
        return rss_conversions.read(path, self.layers, None, self.instrument.prefix)

    def _read(self, path: Path) -> rss.Bytes:
        """The file's bytes, shape (layer, lat, lon)."""
        raw = gunzip(path, at_most=max(rss.KNOWN_SIZES))
        shape = (len(self.layers), *rss.CELLS)
        if len(raw) != np.prod(shape):
            is_known = len(raw) in rss.KNOWN_SIZES
            what = rss.KNOWN_SIZES.get(len(raw), "the length of no RSS map")
            raise (WrongFile if is_known else DamagedFile)(
                f"{len(raw):,} bytes is {what}; {self.instrument.carrier} averaged maps have"
                f" {np.prod(shape):,}.",
                where=str(path),
                mend="" if is_known else FETCH_AGAIN,
            )
        return np.frombuffer(raw, np.uint8).reshape(shape)


def _source(instrument: rss.Instrument, average: Average) -> Source:
    maps = Maps(instrument, average)
    return Source(
        name=f"rss-{instrument.sensor}-{average.name}",
        grid=Grid(
            time=average.axis(instrument),
            lat=degrees(-90, 90, 0.25),
            lon=degrees(0, 360, 0.25, periodic=True),
        ),
        path=maps.path,
        decode=maps.decode,
        provides=rss.with_flags(maps.layers),
        archive="rss",
        home=rss.HOME,
        title=f"{instrument.carrier}, ocean maps, {average.what}, {instrument.version}",
        provider="Remote Sensing Systems",
        licence=rss.LICENCE,
        cite=f"Remote Sensing Systems: {instrument.carrier} ocean products, averaged maps,"
        f" 0.25 degrees, version {instrument.version[1:]}. www.remss.com",
    )


SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (_source(one, kind) for one in rss.INSTRUMENTS for kind in AVERAGES)
}
