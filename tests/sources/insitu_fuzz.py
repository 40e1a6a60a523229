"""What every reader of in-situ reports must keep to, whatever bytes it is given."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from fluxengine.errors import DamagedFile
from fluxengine.tables import Rows
from fluxrecipes.sources import reports

Reader = Callable[[Path], Iterator[Rows]]
SPARE = 24 * 2**20  # bytes that a reader may use whatever the file's size: its block of text


def whole(reader: Reader, path: Path) -> Rows:
    """All rows of a file as one, and all that was left out."""
    parts = list(reader(path))
    rejected: dict[str, int] = {}
    for part in parts:
        for reason, count in part.rejected.items():
            rejected[reason] = rejected.get(reason, 0) + count
    names = parts[0].columns if parts else ()
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in names}
    return Rows(columns, rejected)


def check(rows: Rows) -> None:
    """Rows are as the table declares them, and their flags agree with their values."""
    columns = rows.columns
    assert columns["time"].dtype == "M8[s]" and not np.isnat(columns["time"]).any()
    assert set(columns) == {"time"} | {variable.name for variable in reports.COLUMNS}
    for variable in reports.COLUMNS:
        found = columns[variable.name]
        assert found.dtype == variable.packing.dtype and found.shape == columns["time"].shape
        if variable.flags:
            assert np.isin(found, list(variable.flags)).all(), variable.name
            assert (found >= 2).all(), variable.name
        elif variable.valid_range:
            low, high = np.float32(variable.valid_range)
            assert not ((found < low) | (found > high)).any(), variable.name
    for name in ("air_temperature", "sea_surface_temperature", "air_pressure"):
        left_out = columns[f"{name}_quality"] >= reports.REJECTED
        assert np.array_equal(np.isnan(columns[name]), left_out), name
    assert np.array_equal(
        np.isnan(columns["wind_speed"]), columns["wind_quality"] >= reports.REJECTED
    )
    humid = ~np.isnan(columns["specific_humidity"])
    assert np.array_equal(humid, columns["humidity_form"] != reports.NO_HUMIDITY)
    some = humid | ~np.isnan(columns["relative_humidity"])
    assert np.array_equal(some, columns["humidity_quality"] < reports.REJECTED)
    values = np.array([columns[variable.name] for variable in reports.VALUES])
    assert not np.isnan(values).all(axis=0).any()


@cache
def _compile() -> None:
    """Compile the thermodynamics, whose memory is not the readers'."""
    some = np.array([290.0])
    pressure = np.array([101_000.0])
    reports.humidity_of_wet_bulb(some, some, pressure)
    for form, value in ((reports.DEW_POINT, some), (reports.RELATIVE, some / 400)):
        reports._specific(form, value, some, pressure)


def decoded(reader: Reader, path: Path, data: bytes) -> Rows | None:
    """Rows of some bytes, or None where the reader refuses them in words, with bounded memory."""
    _compile()
    path.write_bytes(data)
    refusal, rows = None, None
    tracemalloc.start()
    try:
        rows = whole(reader, path)
    except DamagedFile as error:
        refusal = error
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 10 * len(data) + SPARE, f"{peak:,} bytes for {len(data):,}"
    if refusal is not None:
        assert refusal.where == str(path) and refusal.what.endswith(".")
    elif rows is not None and rows.columns:
        check(rows)
    return rows
