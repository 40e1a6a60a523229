"""The main job from end to end: on a simulated world, or on a folder of real AMSR2 files.

Both take the same way: files in the provider's format, ingest, plan, run, publish, look at it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxengine import cli, config, show
from fluxengine.errors import ConfigError, MissingFile, RunFailed
from fluxengine.run import Summary
from fluxengine.store import Store, open_dataset

if TYPE_CHECKING:
    import xarray as xr

    from fluxrecipes.validation import Score

FIRST, LAST = date(2019, 1, 1), date(2019, 1, 30)
SEED = 2019
WORKERS = 2
SYMBOLS = {
    "air_temperature": "Ta",
    "specific_humidity": "Qa",
    "sensible_heat_flux": "SHF",
    "latent_heat_flux": "LHF",
}

SIMULATED_RUN = """\
# The demonstration: one simulated satellite and OISST, in the providers' file formats.
product: deepflux
period: {{first: {first}, last: {last}}}
options: {{satellite: f17, sst: oisst}}
archives: {{rss: archive/rss, oisst: archive/oisst}}
attributes:
  creator_name: fluxforge demonstration
  creator_email: nobody@example.org
  creator_url: https://example.org
  publisher_name: fluxforge demonstration
  publisher_email: nobody@example.org
  publisher_url: https://example.org
  institution: none
  project: fluxforge demonstration
  acknowledgement: none; the input is simulated
profiles:
  local: {{store: store, cluster: {{kind: local, workers: {workers}, threads: 1, memory: 4GiB}}}}
  serial: {{store: store, cluster: {{kind: serial}}}}
"""

REAL_RUN = """\
# Real AMSR2 maps, both passes, with their own sea surface temperature.
product: deepflux
period: {{first: {first}, last: {last}}}
options: {{satellite: amsr2-v7.2, sst: satellite}}
archives: {{rss: {archive}}}
attributes:
  creator_name: fluxforge demonstration
  creator_email: nobody@example.org
  creator_url: https://example.org
  publisher_name: fluxforge demonstration
  publisher_email: nobody@example.org
  publisher_url: https://example.org
  institution: none
  project: fluxforge demonstration
  acknowledgement: AMSR2 data are produced by Remote Sensing Systems
profiles:
  local: {{store: store, cluster: {{kind: local, workers: {workers}, threads: 1, memory: 4GiB}}}}
  serial: {{store: store, cluster: {{kind: serial}}}}
"""


@dataclass(frozen=True)
class Finished:
    """What a demonstration leaves behind."""

    summary: Summary
    store: Path
    pictures: tuple[Path, ...]
    record: Path


# --- the simulated world -------------------------------------------------------------------------


def simulated(out: Path) -> Finished:
    """Simulate an archive, make the record from it, and score it against the truth."""
    out.mkdir(parents=True, exist_ok=True)
    _say(1, f"simulate {(LAST - FIRST).days + 1} days of F17, OISST and buoys, as files")
    with show.bars("files") as progress:
        simulate_with_bars(progress, out / "archive", FIRST, LAST)
    _say(2, "ingest, fill, retrieve, compute fluxes, publish (a local Dask cluster)")
    run_file = _written(
        out / "run.yaml", SIMULATED_RUN.format(first=FIRST, last=LAST, workers=WORKERS)
    )
    summary = _run(run_file, strict=False)
    scores_file, picture = out / "scores.json", out / "deepflux.png"
    if summary.did_nothing and scores_file.exists() and picture.exists():
        return Finished(summary, out / "store", (picture,), scores_file)
    _say(3, "score it against the simulated truth and the simulated buoys")
    began = time.perf_counter()
    record = open_dataset(out / "store", "deepflux")
    scores = _scores(record, out / "archive")
    _write_json(scores_file, {"world": "simulated", "scores": [s.as_json() for s in scores]})
    _score_table(scores)
    show.out.print(f"({time.perf_counter() - began:.1f} s)")
    _say(4, "draw")
    middle = record.isel(time=record.sizes["time"] // 2)
    _picture(middle, picture, f"{str(middle['time'].values)[:10]}, SIMULATED world")
    return Finished(summary, out / "store", (picture,), scores_file)


def simulate_with_bars(
    progress: show.Bars, root: Path, first: date, last: date, *, seed: int = SEED
) -> None:
    """Write a simulated archive, showing how far it is."""
    from fluxrecipes.nature import archive

    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if done == 0 and total:
            progress.begin("simulated archive", total)
        elif done:
            progress.advance("simulated archive", done - told)
        told = done

    archive.simulate(root, first, last, seed=seed, processes=WORKERS, progress=tell)


def _scores(record: xr.Dataset, archive: Path) -> list[Score]:
    from fluxrecipes.nature.archive import ndbc_path
    from fluxrecipes.nature.platforms import STATIONS
    from fluxrecipes.validation import Mooring, against_buoys, against_truth

    moorings = [
        Mooring(
            s.name,
            s.latitude,
            s.longitude,
            s.anemometer,
            s.thermometer,
            ndbc_path(archive, s.name, FIRST.year),
        )
        for s in STATIONS
    ]
    record = record.load()
    return [
        *against_truth(record.isel(time=slice(1, None, 3)), SEED, processes=WORKERS),
        *against_buoys(record, moorings, f"{len(moorings)} simulated buoys"),
    ]


def _score_table(scores: Iterable[Score]) -> None:
    expected = _expected()
    rows = []
    for score in scores:
        unit, scale = _shown(score.variable.units)
        known = expected.get(f"{score.variable.name}|{score.against}", {})
        figures = [
            f"{value * factor:.{digits}f} ({_number(known.get(name), factor, digits)})"
            for name, value, factor, digits in (
                ("rmse", score.skill.rmse, scale, 2),
                ("bias", score.skill.bias, scale, 2),
                ("correlation", score.skill.correlation, 1.0, 3),
            )
        ]
        name = f"{SYMBOLS[score.variable.name]} [{unit}]"
        rows.append((name, score.against, score.skill.points, *figures))
    show.out.print("\n[bold]Skill on a SIMULATED world[/], and in brackets what is expected of it")
    columns = ("", "against", "#points", "#RMSE", "#bias", "#correlation")
    show.table("", columns, rows)


def _number(value: float | None, factor: float, digits: int) -> str:
    return "–" if value is None else f"{value * factor:.{digits}f}"


def _shown(units: str) -> tuple[str, float]:
    return {"kg kg-1": ("g/kg", 1000.0), "W m-2": ("W/m²", 1.0)}.get(units, (units, 1.0))


def _expected() -> dict[str, dict[str, float]]:
    """Scores of this demonstration when it was released, by variable and reference."""
    found = json.loads((files("fluxrecipes") / "report" / "demo_expected.json").read_text())
    return {f"{s['variable']}|{s['against']}": s for s in found["scores"]}


# --- real input ----------------------------------------------------------------------------------


def real(folder: Path, out: Path) -> Finished:
    """Make the record from real AMSR2 files (version 7.2) with their own SST.

    Raises
    ------
    MissingFile
        Where the folder holds none.
    RunFailed, DamagedFile
        Where a file cannot be used: nothing is published then.
    """
    archive, first, last = _amsr2_days(folder)
    out.mkdir(parents=True, exist_ok=True)
    text = REAL_RUN.format(first=first, last=last, archive=archive, workers=WORKERS)
    summary = _run(_written(out / "run.yaml", text), strict=True)
    report = out / "summary.json"
    pictures = (out / "deepflux.png", out / "ascending.png", out / "descending.png")
    if summary.did_nothing and all(p.exists() for p in (report, *pictures)):
        return Finished(summary, out / "store", pictures, report)
    from fluxrecipes.report import summary as summaries

    store = Store.at(out / "store")
    _write_json(report, summaries.of_real_run(store, "rss-amsr2-v7.2"))
    day = open_dataset(store.root, "deepflux").isel(time=0)
    _picture(day, pictures[0], f"{first}, mean of both passes of AMSR2")
    passes = open_dataset(store.root, "deepflux-passes").isel(time=0)
    for orbit, picture in zip(("ascending", "descending"), pictures[1:], strict=True):
        _picture(passes.sel(orbit=orbit), picture, f"{first}, {orbit} pass of AMSR2")
    return Finished(summary, out / "store", pictures, report)


def _amsr2_days(folder: Path) -> tuple[Path, date, date]:
    """The archive's root below a folder, and its first and last day."""
    if not folder.is_dir():
        raise ConfigError("there is no such folder.", where=str(folder))
    root = folder / "rss" if (folder / "rss").is_dir() else folder
    names = (path.name for path in root.rglob("f34_*v7.2.gz"))
    found = sorted(m[1] for m in (re.fullmatch(r"f34_(\d{8})v7\.2\.gz", n) for n in names) if m)
    if not found:
        raise MissingFile(
            "no AMSR2 daily map of version 7.2 (f34_YYYYMMDDv7.2.gz) is here.",
            where=str(root),
            mend="Give the folder that holds rss/f34_20160102v7.2.gz, say.",
        )
    return root.resolve(), date.fromisoformat(found[0]), date.fromisoformat(found[-1])


# --- both ----------------------------------------------------------------------------------------


def _run(run_file: Path, *, strict: bool) -> Summary:
    loaded = config.load(run_file)
    profile = loaded.profile(None)
    request = config.request(loaded, profile, create=True)
    summary = cli.run_with_bars(request, profile.cluster, strict=strict)
    show.summary(summary, loaded.product)
    if summary.marked and strict:
        raise RunFailed(summary.marked[0])
    return summary


def _picture(record: xr.Dataset, path: Path, title: str) -> None:
    from fluxrecipes import vocabulary as cf
    from fluxrecipes.report.maps import draw, panel

    shown = (*cf.NEAR_SURFACE, cf.sea_surface_temperature, cf.wind_speed, *cf.FLUXES)
    panels = [panel(record[v.name], v, _title(v.long_name)) for v in shown]
    draw(
        panels,
        path,
        title=f"deepflux: {title}",
        note=" ".join(record.attrs.get("notice", "").splitlines()),
        land=record[cf.flux_state.name] == cf.LAND,
    )


def _title(long_name: str) -> str:
    return long_name.partition(",")[0].replace(" at the sea surface", "")


def _written(path: Path, text: str) -> Path:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(path)


def _say(step: int, what: str) -> None:
    show.out.print(f"\n[bold]{step}.[/] {what}")
