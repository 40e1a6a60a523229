"""World and real day side by side.

``python -m fluxrecipes.report.likeness`` prints, as a table in Markdown, every statistic of one
real day of AMSR2 (2 January 2016) beside the mean of the same day in eight simulated worlds, and
with ``--picture FILE`` draws both. The real day's numbers are kept in ``real_day.json``;
``--real FILE`` takes them anew from the provider's map and ``--record`` keeps them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from fluxrecipes.nature import instruments
from fluxrecipes.nature.world import World
from fluxrecipes.report import realism
from fluxrecipes.report.hidden import hide_and_fill
from fluxrecipes.report.realism import Day

Statistics = dict[str, list[float]]

DAY = date(2016, 1, 2)
SEEDS = tuple(range(11, 19))
RECORDED = Path(__file__).with_name("real_day.json")


def statistics(day: Day) -> Statistics:
    """Every statistic of a day, by name; lists in the order that `realism` documents."""
    found: dict[str, Any] = {}
    for name, shares in realism.coverage(day).items():
        found[f"coverage {name}"] = shares[..., :-1]
        found[f"coverage in all {name}"] = shares[..., -1:]
    for name in realism.WITH_SST:
        found[f"lost {name}"] = realism.share_of_code(day, name, instruments.NO_RETRIEVAL)
        found[f"lost by rain {name}"] = realism.loss_by_rain(day, name)
        found[f"percentiles {name}"] = realism.percentiles(day, name)
        found[f"mean and sd {name}"] = realism.mean_and_spread(day, name)
        found[f"sd within 1° {name}"] = [realism.spread_within(day, name)]
        found[f"r zonal {name}"] = realism.autocorrelation(day, name, "lon")
        found[f"r meridional {name}"] = realism.autocorrelation(day, name, "lat")
        found[f"between passes {name}"] = realism.between_passes(day, name)
    for name in ("water_vapour", "cloud_liquid_water", "rain_rate"):
        found[f"without and with wind {name}"] = realism.around_lost_wind(day, name)
    for code, name in ((252, "ice"), (253, "coast"), (254, "unseen")):
        found[f"share {name}"] = realism.share_of_code(day, "wind_speed", code)
    for one, other in realism.CROSSED:
        found[f"r {one}, {other}"] = [realism.crossed(day, one, other)]
    found["share with rain"] = realism.rain_share(day)
    found["local time"] = realism.local_times(day).ravel()
    found["sd of vapour given SST"] = realism.vapour_given_sst(day)
    found["SST ascending less descending"] = [realism.diurnal_sst(day)]
    for name in realism.FIELDS:
        found[f"hide and fill {name}"] = hide_and_fill(day, name)
    return {name: np.ravel(values).tolist() for name, values in found.items()}


def simulated(seeds: Sequence[int] = SEEDS) -> Statistics:
    """The statistics of the same day in simulated worlds, averaged over them."""
    each = [statistics(realism.simulated_day(World(seed), np.datetime64(DAY))) for seed in seeds]
    return {name: np.mean([one[name] for one in each], axis=0).tolist() for name in each[0]}


def recorded() -> Statistics:
    """The statistics of the real day, as kept."""
    kept: Statistics = json.loads(RECORDED.read_text(encoding="utf-8"))
    return kept


def table(real: Mapping[str, Sequence[float]], world: Mapping[str, Sequence[float]]) -> str:
    """Markdown: a row for each statistic, the real day's numbers and the world's."""
    rows = ["| | real day | simulated |", "|---|---|---|"]
    rows += [f"| {name} | {_numbers(real[name])} | {_numbers(world[name])} |" for name in real]
    return "\n".join(rows)


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.3g}" for value in values)


def picture(real: Day, world: Day, path: Path) -> None:
    """Draw the ascending pass of the real day (left) and of a simulated one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(_SHOWN), 2, figsize=(14, 13), layout="constrained")
    for row, (name, label, low, high) in zip(axes, _SHOWN, strict=True):
        for axis, day, title in zip(row, (real, world), ("AMSR2", "SIMULATED"), strict=True):
            image = axis.imshow(
                day.fine(name)[0],
                origin="lower",
                extent=(0, 360, -60, 60),
                vmin=low,
                vmax=high,
                interpolation="nearest",
            )
            axis.set_title(f"{title}: {label}")
        figure.colorbar(image, ax=row)
    figure.savefig(path, dpi=70)
    plt.close(figure)


_SHOWN = (
    ("wind_speed", "wind, m/s", 0, 18),
    ("water_vapour", "vapour, mm", 0, 70),
    ("cloud_liquid_water", "cloud, mm", 0, 0.5),
    ("rain_rate", "rain, mm/h", 0, 3),
    ("sea_surface_temperature", "SST, °C", 0, 31),
)


def main() -> None:
    """Print the table; see the module's text."""
    parser = argparse.ArgumentParser(description="World and real day side by side.")
    parser.add_argument("--real", type=Path, help="RSS's AMSR2 map f34_20160102v7.2.gz")
    parser.add_argument("--record", action="store_true", help="keep the real day's numbers")
    parser.add_argument("--picture", type=Path, help="draw both (needs --real)")
    asked = parser.parse_args()
    if (asked.record or asked.picture) and not asked.real:
        parser.error("--record and --picture need --real")
    day = realism.real_day(asked.real, DAY) if asked.real else None
    real = recorded() if day is None else statistics(day)
    if asked.record:
        kept = {name: [float(f"{v:.6g}") for v in values] for name, values in real.items()}
        RECORDED.write_text(json.dumps(kept, indent=0) + "\n", encoding="utf-8")
    if asked.picture and day is not None:
        world = realism.simulated_day(World(SEEDS[0]), np.datetime64(DAY))
        picture(day, world, asked.picture)
    print(table(real, simulated()))


if __name__ == "__main__":
    main()
