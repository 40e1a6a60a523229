"""The weights that come with fluxforge: what they say, and that they beat the baselines.

On a world that none of them was trained on. How good they are is measured by `fluxforge validate
--models`; here stands what must not be lost.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fluxengine import registry
from fluxkernels.nets.cards import read_head
from fluxrecipes import vocabulary as cf
from fluxrecipes.nature import archive
from fluxrecipes.nature.files import reanalysis
from fluxrecipes.nature.files.table import Selection
from fluxrecipes.shipped import SHIPPED
from fluxrecipes.stages.fill import FillInTime
from fluxrecipes.stages.fill_by_network import FillByGDCM
from fluxrecipes.stages.retrieve import RetrieveByRegression
from fluxrecipes.stages.retrieve_by_network import RetrieveByMPFNet

FIRST, LAST, MIDDLE = date(2019, 3, 1), date(2019, 3, 7), 3
SEED = 77
FILES = sorted(SHIPPED.glob("*.safetensors"))


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """Both passes of a week without a gap."""
    root = tmp_path_factory.mktemp("world") / "a"
    archive.simulate(
        root, FIRST, LAST, seed=SEED, selection=Selection(outputs=("reanalysis",)), processes=1
    )
    return xr.open_zarr(root / reanalysis.PLACE).sel(time=slice(str(FIRST), str(LAST))).load()


def test_the_files_are_small_and_say_what_they_are() -> None:
    assert sum(path.stat().st_size for path in FILES) < 25e6
    names = {path.stem for path in FILES}
    assert names == {"gdcm-compact-both-passes", "mpfnet", "mpfnet-correction", "mpfnet-wind"}
    for path in FILES:
        card = read_head(path).card
        assert card.data == "a simulated world (seed 1)"
        assert card.period == "2014-01-01 to 2015-12-31" and "f17" in card.sensor
        assert all(np.isfinite(value) for value in card.skill.values()) and card.skill
        if path.stem.startswith("mpfnet"):
            assert set(card.errors) == {q.name for q in card.vocabulary.outputs}


@pytest.mark.parametrize("correct", ["none", "mpfnet", "wind"])
def test_they_fit_the_chain(correct: str) -> None:
    product = registry.recipe("deepflux").product({"correct": correct})
    assert "a simulated world" in product.attrs["notice"]


def test_gaps_are_filled_better_than_in_time(complete: xr.Dataset) -> None:
    arrays, hidden = thinned(complete)
    by_network = FillByGDCM(Path("gdcm-compact-both-passes.safetensors"))
    in_time = FillInTime(cf.MICROWAVE)
    made, baseline = (stage.load()(arrays) for stage in (by_network, in_time))
    for name in ("wind_speed", "water_vapour"):
        truth = complete[name].values[MIDDLE]
        at = hidden[MIDDLE] & np.isfinite(truth)
        errors = [rmse(one[name].values[MIDDLE][at] - truth[at]) for one in (made, baseline)]
        assert errors[0] < 0.65 * errors[1], (name, errors)


def test_air_is_retrieved_better_than_by_regression(complete: xr.Dataset) -> None:
    arrays = {name: complete[name] for name in (*names(), "sea_surface_temperature")}
    arrays |= {f"{name}_state": states(complete[name]) for name in names()}
    arrays["pass_time"] = xr.full_like(complete["wind_speed"], np.nan)
    by_network = RetrieveByMPFNet(Path("mpfnet.safetensors")).load()(arrays)
    baseline = RetrieveByRegression(Path("regression.json")).load()(arrays)
    for variable in cf.NEAR_SURFACE:
        truth = complete[variable.name].values
        errors = [rmse(one[variable.name].values - truth) for one in (by_network, baseline)]
        assert errors[0] < 0.9 * errors[1], (variable.name, errors)


def names() -> list[str]:
    return [variable.name for variable in cf.MICROWAVE]


def states(values: xr.DataArray) -> xr.DataArray:
    seen = np.where(np.isfinite(values), cf.OBSERVED, cf.LAND)
    return values.copy(data=seen.astype("u1"))


def thinned(complete: xr.Dataset) -> tuple[dict[str, xr.DataArray], np.ndarray]:
    """With gaps between swaths 18° wide, 25.4° apart, and where these are."""
    first = complete["wind_speed"]
    lat, lon = (first[name].values for name in ("lat", "lon"))
    day, orbit = (np.arange(first.sizes[name])[..., None] for name in ("time", "orbit"))
    tilt = 0.3 * np.where(orbit == 0, lat, -lat)
    place = lon - tilt[..., None] + 9.0 * day[..., None, None] + 12.0 * orbit[..., None]
    hidden = place % 25.4 > 18.0
    arrays = {"sea_surface_temperature": complete["sea_surface_temperature"]}
    for name in names():
        state, sea = states(complete[name]), np.isfinite(complete[name].values)
        state = state.copy(data=np.where(hidden & sea, cf.NO_OBSERVATION, state).astype("u1"))
        arrays |= {name: complete[name].where(~hidden), f"{name}_state": state}
    return arrays, hidden


def rmse(error: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(error**2)))
