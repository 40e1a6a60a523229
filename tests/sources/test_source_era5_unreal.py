"""ERA5: values that cannot be, single nodes of another grid, and what its days are called."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from era5_files import COLUMNS, DAY, LAT, LON, ROWS, SHAPE, hours, new_form, of

from fluxengine.errors import DamagedFile, WrongFile
from fluxrecipes.products import comparison
from fluxrecipes.sources import era5
from fluxrecipes.sources.era5 import NO_VALUE, VALID
from fluxrecipes.sources.era5_fields import BY_NAME

# --- values that cannot be ---------------------------------------------------------------------


@pytest.mark.parametrize("unreal", [299.0, -50.01])
def test_an_unreal_wind_is_no_value(tmp_path, unreal):
    """ECMWF, "ERA5: large 10m winds": up to 300 m s-1, and none beyond 50 is to be believed."""
    values = np.full((2, *SHAPE), 49.9)
    values[1, 2, 3] = unreal
    path, source = new_form(tmp_path / "a.nc", hours(0, 1), {"u10": values}), of("u10")
    dataset = source.decode(path, (DAY,))
    flags = dataset.eastward_wind_flag.values[0]
    assert flags[1, ROWS[2], COLUMNS[3]] == NO_VALUE
    assert (flags == NO_VALUE).sum() == 1 and (flags == VALID).sum() == values.size - 1
    found = source.provides[0].packing.unpack(dataset.eastward_wind.values[0], "f8")
    assert np.isnan(found[1, ROWS[2], COLUMNS[3]]) and np.isfinite(found).sum() == values.size - 1
    own = era5.read(path)
    assert own.eastward_wind_flag.values[1, 2, 3] == NO_VALUE
    assert np.isnan(own.eastward_wind.values[1, 2, 3])


@pytest.mark.parametrize(
    ("shape", "number", "is_few"),
    [
        ((1, 1), 1, False),
        ((1, 2), 1, True),
        ((1, 2), 2, False),
        ((5, 5), 2, False),
        ((50, 50), 50, True),
        ((50, 50), 51, False),
        ((721, 1440), 100, True),
        ((721, 1440), 101, False),
    ],
)
def test_few_values_that_cannot_be_are_left_out(shape, number, is_few):
    values = np.full(shape, 280.0)
    values.ravel()[:number] = 900
    field = BY_NAME["t2m"]
    if is_few:
        found = field.in_our_units(values, Path("a.nc"))
        assert np.isnan(found).sum() == number and np.nanmax(found) == 280
    else:
        with pytest.raises(DamagedFile, match=f"900 K in one of {number} cells beyond 160 to 340"):
            field.in_our_units(values, Path("a.nc"))


def test_the_only_values_of_a_map_are_no_few(tmp_path):
    values = np.full((1, *SHAPE), np.nan)
    values[0, 0, 0] = 299
    path = new_form(tmp_path / "a.nc", hours(0), {"u10": values})
    with pytest.raises(DamagedFile, match="299 m s-1 in one of 1 cells beyond -50 to 50"):
        era5.read(path)


# --- single nodes ------------------------------------------------------------------------------

INCREMENT = "GRIB_iDirectionIncrementInDegrees"


def of_one_node(path: Path, name: str, value: float, attrs: dict[str, object]) -> Path:
    """A single node, as ERA5 and ERA5-Land deliver it: the same stream, and no step."""
    values, step = {name: np.full((1, 1, 1), value)}, "accum" if name == "tp" else "instant"
    return new_form(path, hours(6), values, lat=LAT[:1], lon=LON[:1], attrs=attrs, step=step)


@pytest.mark.parametrize("name", ["t2m", "tp"])
def test_a_single_node_of_another_grid_is_refused(tmp_path, name):
    path = of_one_node(tmp_path / "a.nc", name, 280 * (name == "t2m"), {INCREMENT: 0.1})
    with pytest.raises(WrongFile, match=r"a single node of a grid of 0.1 degrees .* ERA5-Land's"):
        of(name).decode(path, (DAY,))


@pytest.mark.parametrize("attrs", [{}, {INCREMENT: 0.25}, {INCREMENT: np.nan}, {INCREMENT: "?"}])
def test_a_single_node_without_a_grid_is_read_but_for_its_sums(tmp_path, attrs):
    found = of("t2m").decode(of_one_node(tmp_path / "a.nc", "t2m", 280, attrs), (DAY,))
    assert (found.air_temperature_2m_flag.values == VALID).sum() == 1
    path, rain = of_one_node(tmp_path / "b.nc", "tp", 0.001, attrs), of("tp")
    if attrs.get(INCREMENT) == 0.25:
        found = rain.decode(path, (DAY,))
        assert (found.precipitation_rate_flag.values == VALID).sum() == 1
    else:
        with pytest.raises(WrongFile, match=f"single node whose grid is not named .{INCREMENT}"):
            rain.decode(path, (DAY,))


# --- days ----------------------------------------------------------------------------------------


def test_the_daily_product_says_from_when_to_when_its_days_are():
    """Hours are labelled by their ends: those of a day begin an hour before it."""
    product = comparison.reanalysis_5(comparison.Options())
    said = "from 23 UTC the day before to 23 UTC"
    assert said in product.summary
    values = [v for v in product.publishes if not v.is_flag]
    assert len(values) == 2 and all(said in v.cf_attributes()["comment"] for v in values)
    assert "23 UTC" not in comparison.oaflux(comparison.Options()).summary
