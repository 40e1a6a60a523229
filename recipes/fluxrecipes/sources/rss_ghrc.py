"""SSM/I and SSMIS daily maps of RSS as NASA's GHRC keeps them: converted to NetCDF, 0.25 degrees.

The conversion has the bytes as int16, with the codes among them and no fill value, and says that
its first map is the ascending pass; on a real day of F16 the times show the descending one first.
Both are read as in `rss`, so that a day is the same from either archive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from fluxengine.declare import Source
from fluxengine.errors import DamagedFile, MissingFile, WrongFile
from fluxrecipes.sources import netcdf, rss
from fluxrecipes.sources.gzipped import FETCH_AGAIN

if TYPE_CHECKING:
    import xarray as xr

HOME = "https://ghrc.nsstc.nasa.gov/pub"
CONVERTED = "v7"  # the version that was


@dataclass(frozen=True)
class Maps:
    """One satellite's daily maps at GHRC."""

    instrument: rss.Instrument

    @property
    def sensor(self) -> str:
        """As paths have it: ``ssmi`` or ``ssmis``."""
        return self.instrument.carrier.split()[0].replace("/", "").lower()

    def path(self, day: date) -> str:
        """Where GHRC keeps a day, below the archive's root."""
        satellite = self.instrument.prefix
        name = f"{satellite}_{self.sensor}_{day:%Y%m%d}{self.instrument.version}.nc"
        return f"{self.sensor}/{satellite}/daily/data/{day:%Y}/{name}"

    def decode(self, path: Path, day: date) -> xr.Dataset:
        """One day's file, as `rss.Instrument.decode` gives it.

        Raises
        ------
        MissingFile, DamagedFile
            No file; not NetCDF, truncated, or with numbers that no bytemap has.
        WrongFile
            Of another day or satellite, or no conversion that keeps the codes.
        """
        expected = Path(self.path(day)).name
        if path.name != expected:
            raise WrongFile(f"its name is not {expected}.", where=str(path))
        if not path.exists():
            raise MissingFile("there is no such file.", where=str(path))
        if not netcdf.is_netcdf_file(path):
            raise DamagedFile("it is no NetCDF file.", where=str(path), mend=FETCH_AGAIN)
        return self.instrument.decode(path, day)


def _source(instrument: rss.Instrument) -> Source:
    maps = Maps(instrument)
    of_rss = rss.SOURCES[f"rss-{instrument.sensor}"]
    return replace(
        of_rss,
        name=f"{of_rss.name}-ghrc",
        path=maps.path,
        decode=maps.decode,
        archive="ghrc",
        home=HOME,
        title=f"{of_rss.title}, as converted to NetCDF by GHRC",
        provider="Remote Sensing Systems; NASA Global Hydrology Resource Center",
        file_type="netcdf4",
    )


SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        _source(instrument)
        for instrument in rss.INSTRUMENTS
        if instrument.carrier.startswith("SSM") and instrument.version == CONVERTED
    )
}
