"""The main job from end to end: on a simulated world, or on a folder of real AMSR2 files.

Both take the same way: files in the provider's format, ingest, plan, run, publish, look at it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxengine import cli, config, requested, show
from fluxengine.errors import ConfigError, MissingFile, RunFailed
from fluxengine.run import Summary
from fluxengine.store import Store, open_dataset

if TYPE_CHECKING:
    import xarray as xr


FIRST, LAST = date(2019, 1, 1), date(2019, 1, 30)
SEED = 2019
WORKERS = 2
SYMBOLS = {
    "air_temperature": "Ta",
    "specific_humidity": "Qa",
    "sensible_heat_flux": "SHF",
    "latent_heat_flux": "LHF",
}

RUN_FILE = """\
# {what}
product: deepflux
period: {{first: {first}, last: {last}}}
options: {{{options}}}
archives: {{{archives}}}
attributes:
  creator_name: fluxforge demonstration
  creator_email: nobody@example.org
  creator_url: https://example.org
  publisher_name: fluxforge demonstration
  publisher_email: nobody@example.org
  publisher_url: https://example.org
  institution: none
  project: fluxforge demonstration
  acknowledgement: {acknowledgement}
profiles:
  local: {{store: store, cluster: {{kind: local, workers: {workers}, threads: 1, memory: 4GiB}}}}
  serial: {{store: store, cluster: {{kind: serial}}}}
"""
SIMULATED = {
    "what": "The demonstration: simulated F17 and OISST, in the providers' file formats.",
    "options": "sensors: [f17], sst: oisst",
    "archives": "rss: archive/rss, oisst: archive/oisst, ndbc: archive/ndbc",
    "acknowledgement": "none; the input is simulated",
}
REAL = {
    "what": "Real AMSR2 maps, both passes, with their own sea surface temperature.",
    # Baselines: the networks that come with fluxforge are for simulated passes of F17.
    "options": "sensors: [amsr2-v7.2], sst: satellite, fill: interpolation, retrieve: regression,"
    " correct: none",
    "acknowledgement": "AMSR2 data are produced by Remote Sensing Systems",
}


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
    from fluxrecipes.nature.archive import simulate_with_bars

    out.mkdir(parents=True, exist_ok=True)
    _say(1, f"simulate {(LAST - FIRST).days + 1} days of F17, OISST and buoys, as files")
    with show.bars("files") as progress:
        simulate_with_bars(progress, out / "archive", FIRST, LAST, seed=SEED, processes=WORKERS)
    _say(2, "ingest, fill, retrieve, compute fluxes, publish (a local Dask cluster)")
    text = RUN_FILE.format(first=FIRST, last=LAST, workers=WORKERS, **SIMULATED)
    summary = _run(_written(out / "run.yaml", text), strict=False)
    scores, picture = out / "scores.json", out / "deepflux.png"
    if not (summary.did_nothing and scores.exists() and picture.exists()):
        record = open_dataset(out / "store", "deepflux").load()
        _say(3, "score it against the simulated truth (every third day) and simulated buoys")
        _write_json(scores, {"world": "simulated", "scores": _scores(record, out / "archive")})
        _say(4, "draw")
        middle = record.isel(time=record.sizes["time"] // 2)
        _picture(middle, picture, f"{str(middle['time'].values)[:10]}, SIMULATED world")
    _score_table(json.loads(scores.read_text())["scores"])
    return Finished(summary, out / "store", (picture,), scores)


def _scores(record: xr.Dataset, archive: Path) -> list[dict[str, Any]]:
    from fluxrecipes.nature.files import ndbc
    from fluxrecipes.nature.platforms import STATIONS
    from fluxrecipes.validation import Mooring, against_buoys, against_truth

    moorings = [
        Mooring(
            s.name,
            s.latitude,
            s.longitude,
            s.anemometer,
            s.thermometer,
            ndbc.path(archive, s.name, FIRST.year),
        )
        for s in STATIONS
    ]
    found = [
        *against_truth(record.isel(time=slice(1, None, 3)), SEED, processes=WORKERS),
        *against_buoys(record, moorings, "simulated buoys"),
    ]
    return [score.as_json() for score in found]


def _score_table(scores: Iterable[Mapping[str, Any]]) -> None:
    """Each score beside what it was when this version was released."""
    released = json.loads((files("fluxrecipes") / "report" / "demo_expected.json").read_text())
    expected = {(s["variable"], s["against"]): s for s in released["scores"]}
    rows = []
    for score in scores:
        unit, factor = _shown(score["units"])
        known = expected[score["variable"], score["against"]]
        figures = [
            f"{score[name] * scale:.{digits}f} ({known[name] * scale:.{digits}f})"
            for name, scale, digits in (
                ("rmse", factor, 2),
                ("bias", factor, 2),
                ("correlation", 1.0, 3),
            )
        ]
        name = f"{SYMBOLS[score['variable']]} [{unit}]"
        against = score["against"].removeprefix("simulated ")  # as the heading says of it all
        rows.append((name, against, score["points"], *figures))
    show.out.print("\n[bold]Skill on a SIMULATED world[/], and in brackets what is expected of it")
    columns = ("", "against", "#points", "#RMSE", "#bias", "#correlation")
    show.table("", columns, rows)


def _shown(units: str) -> tuple[str, float]:
    return {"kg kg-1": ("g/kg", 1000.0), "W m-2": ("W/m²", 1.0)}.get(units, (units, 1.0))


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
    archives = f"rss: {json.dumps(str(archive))}"  # quoted: a path may hold a colon
    text = RUN_FILE.format(first=first, last=last, workers=WORKERS, archives=archives, **REAL)
    summary = _run(_written(out / "run.yaml", text), strict=True)
    report = out / "summary.json"
    pictures = (out / "deepflux.png", out / "ascending.png", out / "descending.png")
    if not (summary.did_nothing and all(p.exists() for p in (report, *pictures))):
        _report_real(Store.at(out / "store"), first, report, pictures)
    _real_table(json.loads(report.read_text())["product"])
    return Finished(summary, out / "store", pictures, report)


def _report_real(store: Store, first: date, report: Path, pictures: tuple[Path, ...]) -> None:
    from fluxrecipes.report import summary as summaries

    _write_json(report, summaries.of_real_run(store, "rss-amsr2-v7.2"))
    day = open_dataset(store.root, "deepflux").isel(time=0)
    _picture(day, pictures[0], f"{first}, mean of both passes of AMSR2")
    passes = open_dataset(store.root, "deepflux-passes").isel(time=0)
    for orbit, picture in zip(("ascending", "descending"), pictures[1:], strict=True):
        _picture(passes.sel(orbit=orbit), picture, f"{first}, {orbit} pass of AMSR2")


def _real_table(product: Mapping[str, Mapping[str, Any]]) -> None:
    rows = []
    for name in next(iter(product.values())):
        unit, factor = _shown(product["mean"][name]["units"])
        means = [
            f"{part[name].get('mean', nan) * factor:.2f} ({part[name]['valid']})"
            for part in product.values()
        ]
        rows.append((f"{name.replace('_', ' ')} [{unit}]", *means))
    show.out.print("\nMean over the 1° cells with a value (and their number), real input")
    show.table("", ("", *(f"#{part}" for part in product)), rows)


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
    request = requested.of_product(loaded, profile, create=True)
    summary = cli.run_with_bars(request, profile.cluster, strict=strict)
    show.summary(summary, loaded.product)
    if summary.marked and strict:
        raise RunFailed(summary.marked[0])
    return summary


def _picture(record: xr.Dataset, path: Path, title: str) -> None:
    from fluxrecipes import vocabulary as cf
    from fluxrecipes.report.maps import draw, panel, title_of

    shown = (*cf.NEAR_SURFACE, cf.sea_surface_temperature, cf.wind_speed, *cf.FLUXES)
    panels = [panel(record[v.name], v, title_of(v.long_name)) for v in shown]
    draw(
        panels,
        path,
        title=f"deepflux: {title}",
        note=" ".join(
            ["Fluxes are positive upward.", *record.attrs.get("notice", "").splitlines()]
        ),
        land=record[cf.flux_state.name] == cf.LAND,
    )


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
