"""What was found of a sensor: tables for the eye, numbers for machines, pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fluxengine import show
from fluxengine.repository import storage_errors
from fluxkernels.stats.agreement import Interval
from fluxrecipes.sensors import overlap, pictures, seams, stations
from fluxrecipes.sensors.assessment import Assessed
from fluxrecipes.sensors.overlap import GLOBAL, PLACES
from fluxrecipes.sensors.seams import CHOSEN
from fluxrecipes.sensors.settings import VARIABLES
from fluxrecipes.sensors.stations import COMPARED
from fluxrecipes.sensors.verdict import FAILS, FIT, OPEN, UNITS, Check
from fluxrecipes.sources.passes import ORBITS

DIGITS = {"wind_speed": 2, "water_vapour": 2, "cloud_liquid_water": 4, "rain_rate": 3}


def tables(found: Assessed) -> None:
    """Print what was found."""
    days = found.overlap.days
    show.out.print(
        f"[bold]{found.asked.sensor} beside {found.beside}[/]: {len(days)} days, {days[0]} to"
        f" {days[-1]}; {found.world}",
        soft_wrap=True,
    )
    ours, theirs = (", ".join(map(_clock, column)) for column in found.overlap.local_times.T)
    show.out.print(
        f"Mean local time of passes: {found.asked.sensor} {ours}; {found.beside} {theirs}.",
        soft_wrap=True,
    )
    for name in VARIABLES:
        _differences(found, name)
    _stations(found)
    _merging(found)
    _verdict(found)


def _clock(hours: float) -> str:
    return f"{int(hours):02}:{int(hours % 1 * 60):02}"


def _differences(found: Assessed, name: str) -> None:
    block, over, digits = found.asked.thresholds.block, found.overlap, DIGITS[name]
    heads = ("where", "when", "#pairs", "#bias", "95 %", "#σ", "#r", "#σ ratio")
    rows = []
    places = [(GLOBAL, None), *((GLOBAL, n) for n in range(len(ORBITS))),
              *((p, None) for p in PLACES if p != GLOBAL)]  # fmt: skip
    for place, orbit in places:
        told = overlap.agreement_in(over, name, block, place, orbit)
        if told.points:
            both = overlap.bias(over, name, block, place) if orbit is None else told.bias
            ratio = told.spread.value / told.spread_of_reference.value
            more = (f"{told.correlation.value:.3f}", f"{ratio:.3f}")
            when = "both passes" if orbit is None else ORBITS[orbit]
            spread = f"{told.centred.value:.{digits}f}"
            rows.append((place, when, f"{told.points:,}", *_told(both, digits), spread, *more))
    for season in over.seasons(block):
        both = overlap.bias(over, name, block, season=season)
        rows.append((GLOBAL, season, "", *_told(both, digits), "", "", ""))
    show.out.print()
    title = f"{name.replace('_', ' ')} [{UNITS[name]}]: {found.asked.sensor} less {found.beside}"
    show.table(title, heads, rows, wide=True)


def _told(one: Interval, digits: int) -> tuple[str, str]:
    """A number and its interval; empty where there is none."""
    if not np.isfinite(one.value):
        return "", ""
    value = f"{one.value:+.{digits}f}"
    if not np.isfinite(one.low):
        return value, ""
    return value, f"{one.low:+.{digits}f} to {one.high:+.{digits}f}"


def _stations(found: Assessed) -> None:
    if found.met is None:
        return
    rows = []
    for name, (units, *_) in COMPARED.items():
        for label, one in zip((found.asked.sensor, found.beside), found.met, strict=True):
            told = one.agreement(name)
            numbers = (f"{told.points:,}", str(told.clusters), f"{told.rmse.value:.2f}")
            more = (*_told(told.bias, 2), f"{told.correlation.value:.3f}")
            rows.append((f"{name} [{units}]", label, *numbers, *more))
        apart = stations.difference(*found.met, name)
        rows.append(("", "difference", "", "", "", *_told(apart, 2), ""))
    show.out.print()
    heads = ("", "sensor", "#points", "#stations", "#RMSE", "#bias", "95 %", "#r")
    title = f"Against reports of {found.stations}"
    show.table(title, heads, rows, wide=True)
    show.out.print(
        "Air and flux by the baseline retrieval with the reports' SST. Each sensor meets the"
        " reports of its own hours: the daily cycle is not in the difference.",
        soft_wrap=True,
    )


def _merging(found: Assessed) -> None:
    """What merging does, whatever the sensor: told, and not judged."""
    if found.jumps is None:
        return
    block, rows = found.asked.thresholds.block, []
    for name in VARIABLES:
        pairs = (seams.number(found.jumps, name, kind) for kind in (seams.EDGES, CHOSEN))
        ratios = (seams.ratio(found.jumps, name, block, kind) for kind in (seams.EDGES, CHOSEN))
        within = seams.ratio_within(found.jumps, name, block)
        step = ("", "") if found.enters is None else _told(found.enters.whole[name], DIGITS[name])
        edge, chosen = pairs
        numbers = (f"{one.value:.2f}" if np.isfinite(one.value) else "" for one in ratios)
        words = f"{name.replace('_', ' ')} [{UNITS[name]}]"
        rows.append((words, f"{edge:,}", f"{chosen:,}", *numbers, f"{within.value:.2f}", *step))
    heads = ("", "#edges", "#chosen", "#jump at edges", "#where chosen", "#within a swath")
    show.out.print()
    show.table("Merged maps", (*heads, "#step with choice", "95 %"), rows, wide=True)
    show.out.print(
        "Jumps are over those of the reference alone in the same hours. Where a sensor looked and"
        " retrieved no cloud or rain the other is chosen: such seams, and what that choice adds to"
        " the step, are merging's and not this sensor's, and are not judged.",
        soft_wrap=True,
    )


def _verdict(found: Assessed) -> None:
    show.out.print()
    rows = [_row(one) for one in found.checks]
    heads = ("must show", "of", "#measured", "95 %", "#limit", "result", "")
    show.table("Verdict", heads, rows, wide=True)
    show.out.print(f"\n{in_words(found)}", soft_wrap=True)


def _row(one: Check) -> tuple[str, ...]:
    digits = DIGITS.get(one.variable, 2) + 1 if one.units else 2
    words = one.variable.replace("_", " ") + (f" [{one.units}]" if one.units else "")
    measured = _told(one.measured, digits)
    if one.low > 0 or not one.units:
        measured = tuple(text.replace("+", "") for text in measured)  # type: ignore[assignment]
    limit = f"±{one.high:g}" if one.low == -one.high else f"{one.low:g} to {one.high:g}"
    return one.what, words, *measured, limit, one.result, one.note


def in_words(found: Assessed) -> str:
    """The verdict in a sentence or two."""
    by = {
        word: [one for one in found.checks if one.result == result]
        for word, result in (("fail", FAILS), ("open", OPEN))
    }
    said = f"{found.asked.sensor}: {found.verdict}"
    if found.simulated:
        said += f" ({found.mark})"
    if found.verdict == FIT:
        return f"{said}: all {len(found.checks)} checks hold, by their whole intervals."
    parts = [f"{len(c)} of {len(found.checks)} {w}: {_names(c)}" for w, c in by.items() if c]
    more = " Open: what there is does not tell; a longer overlap may." if by["open"] else ""
    return f"{said}: {'. '.join(parts)}.{more}"


def _names(several: list[Check]) -> str:
    return "; ".join(f"{c.what} {c.variable.replace('_', ' ')}".strip() for c in several)


def write(found: Assessed, folder: Path) -> list[Path]:
    """Write numbers and pictures into a folder; give their paths."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        numbers = folder / "assessment.json"
        unfinished = numbers.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(found.as_json(), indent=2, allow_nan=False) + "\n")
        unfinished.replace(numbers)
        return [numbers, *_pictures(found, folder)]


def _pictures(found: Assessed, folder: Path) -> Iterator[Path]:
    title = f"{found.asked.sensor} less {found.beside}"
    title += " (SIMULATED)" if found.simulated else ""
    yield pictures.regions(found.overlap, found.asked.thresholds, folder / "regions.png", title)
    yield pictures.days(found.overlap, folder / "days.png", title)
    yield pictures.maps(found.overlap, found.asked.thresholds, folder / "maps.png", title)
    if found.met is not None:
        labels = (found.asked.sensor, found.beside)
        yield pictures.taylor(found.met, labels, folder / "taylor.png", _of_taylor(found))


def _of_taylor(found: Assessed) -> str:
    world = " (SIMULATED)" if found.simulated else ""
    return f"{found.asked.sensor} and {found.beside} against reports of {found.stations}{world}"
