"""Damaged files of every source: refused by name, or read soundly; in bounded time and memory."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import fuzzing
import pytest
import rssfiles
from hypothesis import example, given

from fluxrecipes.nature.fields import LATITUDES
from fluxrecipes.nature.files import oisst as oisst_file
from fluxrecipes.sources import rss, rss_averages, rss_ghrc, rss_netcdf
from fluxrecipes.sources.ndbc import read_stdmet
from fluxrecipes.sources.oisst import OISST

DAY = date(2016, 1, 2)
CELLS = 720 * 1440


def of_source(source: Any, path: Path, size: int, *, checksummed: bool) -> fuzzing.Honest:
    content = path.read_bytes()
    return fuzzing.Honest(
        path.name, content, size, fuzzing.Decode(source, DAY), fuzzing.Keeps(source), checksummed
    )


def named(folder: Path, source: Any) -> Path:
    return folder / Path(source.path(DAY)).name


def daily_bytemap(folder: Path) -> fuzzing.Honest:
    source = rss.SOURCES["rss-f17"]
    path = rssfiles.bytemap(named(folder, source), rssfiles.world(5, 6.0, 18.0))
    return of_source(source, path, 10 * CELLS, checksummed=True)


def mean_bytemap(folder: Path) -> fuzzing.Honest:
    source = rss_averages.SOURCES["rss-f17-3day"]
    path = rssfiles.bytemap(named(folder, source), rssfiles.world(5, 6.0, 18.0)[0, 1:])
    return of_source(source, path, 4 * CELLS, checksummed=True)


def amsr2_netcdf(folder: Path) -> fuzzing.Honest:
    source = rss_netcdf.SOURCES["rss-amsr2-v8.2"]
    path = rssfiles.amsr2_netcdf(named(folder, source), rssfiles.world(7, 13.5, 1.5), DAY)
    return of_source(source, path, 2 * (8 * 4 + 4) * CELLS, checksummed=False)


def ghrc(folder: Path) -> fuzzing.Honest:
    source = rss_ghrc.SOURCES["rss-f17-ghrc"]
    path = rssfiles.ghrc_netcdf(named(folder, source), rssfiles.world(5, 6.0, 18.0), DAY)
    return of_source(source, path, 20 * CELLS, checksummed=False)


def classic_conversion(folder: Path) -> fuzzing.Honest:
    source = rss.SOURCES["rss-f17"]
    path = folder / "f17_20160102v7.nc"
    rssfiles.ghrc_netcdf(path, rssfiles.world(5, 6.0, 18.0), DAY, "i1")
    return of_source(source, path, 10 * CELLS, checksummed=False)


def oisst(folder: Path) -> fuzzing.Honest:
    fields = dict.fromkeys(("anom", "err", "ice"), 0.5 + 0 * LATITUDES[:, None].repeat(1440, 1))
    path = named(folder, OISST)
    oisst_file.write(
        path, DAY, fields | {"sst": fields["ice"] + LATITUDES[:, None] / 9}, name=path.name
    )
    return of_source(OISST, path, 4 * 2 * CELLS, checksummed=False)


def ndbc(folder: Path) -> fuzzing.Honest:
    head = "#YY MM DD hh mm WDIR WSPD GST WVHT DPD APD MWD PRES ATMP WTMP DEWP VIS TIDE\n"
    units = "#yr mo dy hr mn degT m/s m/s m sec sec degT hPa degC degC degC nmi ft\n"
    line = "2021 06 {:02d} {:02d} 50 160 {:.1f} 6.1 99.0 99.0 99.0 999 1015.2 26.8 27.1 22.9 99.0"
    hours = [(day, hour) for day in range(1, 29) for hour in range(24)]
    text = head + units + "".join(line.format(d, h, d / 3) + " 99.0\n" for d, h in hours)
    return fuzzing.Honest(
        "41002h2021.txt", text.encode(), 16 * 2**20, read_stdmet, fuzzing.ordered_and_finite
    )


MAKERS = (daily_bytemap, mean_bytemap, amsr2_netcdf, ghrc, classic_conversion, oisst, ndbc)


@pytest.fixture(scope="module")
def worker() -> Iterator[fuzzing.Worker]:
    worker = fuzzing.Worker()
    yield worker
    worker.close()


@pytest.fixture(scope="module", params=MAKERS, ids=lambda make: make.__name__)
def reader(request, worker, tmp_path_factory) -> fuzzing.Reader:
    made = request.param(tmp_path_factory.mktemp("honest"))
    return fuzzing.Reader(made, tmp_path_factory.mktemp("damaged"), worker)


@fuzzing.FUZZ
@example(("truncated", (0.0,)))
@example(("truncated", (0.5,)))
@example(("bombed", (300,)))
@example(("header twice", (512,)))
@given(fuzzing.damages)
def test_damage_is_refused_or_harmless(reader, damage):
    reader.check(*damage)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (b"foreign", "escaped.*ZeroDivisionError"),
        (b"memory", "escaped.*MemoryError"),
        (b"unnamed", "does not name the file"),
        (b"unsound", "unsound: it is odd"),
        (b"crash", "died: exit code -11"),
    ],
)
def test_the_harness_sees_what_it_is_for(worker, tmp_path, wish, words):
    """Crashes, memory and foreign errors are told as such, and the next file is read."""
    honest = fuzzing.Honest("f", b"ok", 100, fuzzing.misread, fuzzing.is_odd)
    reader = fuzzing.Reader(honest, tmp_path, worker)
    with pytest.raises(AssertionError, match=f"(?s){words}"):
        reader.check("inserted", (0.0, wish))
    assert reader.check("inserted", (0.0, b"")) == "read"


def test_the_harness_sees_an_endless_loop(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzzing, "SECONDS", 1.0)
    path = tmp_path / "f"
    path.write_bytes(b"loop")
    honest = fuzzing.Honest("f", b"ok", 100, fuzzing.misread, fuzzing.is_odd)
    assert worker.ask(honest, path, room=0)[0] == "hung"
