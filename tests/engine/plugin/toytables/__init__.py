"""Reports of buoys: a text file a station, or one for each variable of a mooring."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from fluxengine.declare import Packing, Variable, flag_variable
from fluxengine.errors import DamagedFile
from fluxengine.tables import Feed, Rows, Table

ROWS_A_PART = 3
GOOD, DOUBTFUL = 2, 3
NAME = Variable("platform", "1", "name of the platform", packing=Packing("S6"))
LAT = Variable("lat", "degrees_north", "latitude", "latitude", (-90, 90))
LON = Variable("lon", "degrees_east", "longitude", "longitude", (-180, 360))
WIND = Variable("wind", "m s-1", "wind speed", "wind_speed", (0, 60), height=4.0)
SST = Variable(
    "sst",
    "K",
    "sea surface temperature",
    "sea_surface_temperature",
    (270, 310),
    Packing("i2", 0.01, 290, -32768),
)
QUALITY = flag_variable("quality", "quality of the report", {GOOD: "good", DOUBTFUL: "doubtful"})
DTYPES = {"platform": "S6", "quality": "u1"}


def read(file: Path, warmer: float = 0.0) -> Iterator[Rows]:
    """Lines such as ``2002-08-01T00:00:00 platform=41001 wind=5.5 sst=290.1 quality=2``."""
    lines = file.read_text().split("\n")
    if lines[0] != "TOY":
        raise DamagedFile("it does not begin with TOY.", where=str(file))
    body = lines[1:-1]
    for start in range(0, len(body), ROWS_A_PART):
        yield _rows(body[start : start + ROWS_A_PART], warmer)
    if lines[-1] != "END":
        raise DamagedFile("it ends before its END.", where=str(file))


def _rows(lines: list[str], warmer: float) -> Rows:
    rejected: Counter[str] = Counter()
    times, reports = [], []
    for line in lines:
        when, *values = line.split()
        if when == "CRASH":
            raise ZeroDivisionError("a fault of this reader that nobody foresaw")
        if when == "NOISE":
            rejected["no time"] += 1
            continue
        times.append(np.datetime64(when, "s"))
        reports.append(dict(value.split("=") for value in values))
    names = sorted({name for report in reports for name in report})
    columns = {name: _column(name, reports) for name in names}
    if "sst" in columns:
        columns["sst"] = columns["sst"] + warmer
    return Rows({"time": np.array(times, "M8[s]"), **columns}, rejected)


def _column(name: str, reports: list[dict[str, str]]) -> np.ndarray:
    missing = {"platform": "", "quality": "0"}.get(name, "nan")
    values = [report.get(name, missing) for report in reports]
    if name == "platform":
        return np.array([value.encode() for value in values])  # of whatever width
    return np.array(values, float).astype(DTYPES.get(name, "f8"))


def feed(name: str, *patterns: str, warmer: float = 0.0) -> Feed:
    return Feed(
        name=name,
        patterns=patterns,
        read=partial(read, warmer=warmer),
        archive=name,
        home="https://example.org/toy",
        title=f"Toy {name}",
        provider="Toy provider",
        licence="public domain",
        cite="Toy (2020)",
    )


COLUMNS = (NAME, LAT, LON, WIND, SST, QUALITY)
BUOYS, MOORINGS = feed("buoys", "hist/*.txt"), feed("moorings", "*/*_dy.txt", "latest.txt")
REPORTS = Table(
    "toy-reports",
    COLUMNS,
    (BUOYS, MOORINGS),
    "Toy reports",
    "Reports of toy buoys and moorings.",
    merges=("platform",),
)
