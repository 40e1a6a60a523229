"""COARE 3.6 against numbers computed by NOAA's own code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fluxkernels import bulk_flux, specific_humidity
from fluxkernels.coare import Fluxes
from fluxkernels.fluxes import BulkFlux

Table = Callable[[Path], np.ndarray]
GOLDEN = Path(__file__).parent / "golden" / "coare36_varied.csv"
K = 273.15

# Our names for the reference's columns, in the same units.
COLUMNS = {
    "sensible": "hsb",
    "latent": "hlb",
    "stress": "tau",
    "friction_velocity": "usr",
    "temperature_scale": "tsr",
    "humidity_scale": "qsr",
    "roughness_length": "zo",
    "transfer_coefficient_momentum": "Cd",
    "transfer_coefficient_heat": "Ch",
    "transfer_coefficient_moisture": "Ce",
    "gustiness": "gust",
    "air_density": "rhoa",
    "webb_latent": "hlwebb",
    "neutral_wind_10m": "U10N",
}


def deviation(flux: BulkFlux, name: str, expected: np.ndarray) -> float:
    """Largest absolute difference; a NaN on either side counts as infinite."""
    difference = np.abs(getattr(flux, name) - expected)
    return float(np.max(np.where(np.isnan(difference), np.inf, difference)))


def noaa_fluxes(given: np.ndarray, expected: np.ndarray) -> BulkFlux:
    """NOAA's cruise rows; their warm layer is fed as a warmer sea surface."""
    at_sensor = 100.0 * (given["P"] - 0.125 * given["zt"])
    return bulk_flux(
        given["u"],
        given["tsg"] + expected["dT_warm_to_skin"] + K,
        given["ta"] + K,
        specific_humidity(given["rh"] / 100.0, given["ta"] + K, at_sensor),
        height_wind=given["zu"],
        height_temperature=given["zt"],
        height_humidity=given["zq"],
        pressure=100.0 * given["P"],
        latitude=given["lat"],
        boundary_layer_height=given["zi"],
        salinity=given["Ss"],
        cool_skin=True,
        shortwave_down=expected["sw_net"],
        albedo=0.0,
        longwave_down=given["lw_dn"],
    )


def test_noaa_test_rows(coare_data: Path, table: Table) -> None:
    """The 2165 rows that NOAA ships, printed with eleven digits."""
    given = table(coare_data / "test_36_data.txt")
    expected = table(coare_data / "test_36_output_nowaves_warmlayer.txt.gz")
    flux = noaa_fluxes(given, expected)
    assert len(given) == 2165
    assert deviation(flux, "sensible", expected["hsb"]) < 1e-6
    assert deviation(flux, "latent", expected["hlb"]) < 1e-6
    assert deviation(flux, "stress", expected["tau"]) < 1e-9
    assert deviation(flux, "skin_cooling", expected["dT_skinx"]) < 1e-9
    assert deviation(flux, "obukhov_length", expected["L"]) < 1e-5
    assert deviation(flux, "wind_speed_at_height", expected["U10"]) < 1e-8
    assert deviation(flux, "air_temperature_at_height", expected["T10"] + K) < 1e-8
    assert deviation(flux, "specific_humidity_at_height", expected["Q10"] / 1e3) < 1e-10
    assert deviation(flux, "evaporation", expected["Evap"] / 3600.0) < 1e-12
    for name, column in COLUMNS.items():
        assert deviation(flux, name, expected[column]) < 1e-6, name


@pytest.mark.parametrize(
    ("name", "height", "cool_skin"), [("zt10_jcool0", 10.0, False), ("zt2_jcool1", 2.0, True)]
)
def test_generated_points(
    coare_data: Path, table: Table, name: str, height: float, cool_skin: bool
) -> None:
    """6176 points, the edges too: ice, calm, storm, extreme stability."""
    points = table(coare_data / f"noaa36py_zu10_{name}.csv.gz")
    flux = bulk_flux(
        points["u"],
        points["ts_C"] + K,
        points["t_C"] + K,
        points["q_kgkg"],
        height_temperature=height,
        height_humidity=height,
        latitude=30.0,
        cool_skin=cool_skin,
        shortwave_down=0.0,
        longwave_down=370.0,
    )
    assert len(points) == 6176
    for field, column in COLUMNS.items():
        assert deviation(flux, field, points[column]) < 1e-8, field
    assert deviation(flux, "skin_cooling", points["dT_skin"]) < 1e-8
    assert deviation(flux, "surface_humidity", points["Qs"] / 1e3) < 1e-12
    np.testing.assert_allclose(10.0 / flux.obukhov_length, points["zeta"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cool_skin", [False, True])
def test_golden_points_of_varied_surroundings(cool_skin: bool, table: Table) -> None:
    """Unequal heights, latitude, pressure, salinity, mixed layer and radiation (see README)."""
    rows = table(GOLDEN)
    rows = rows[rows["cool_skin"] == cool_skin]
    flux = bulk_flux(
        rows["u"],
        rows["ts_C"] + K,
        rows["t_C"] + K,
        rows["q"],
        height_wind=rows["zu"],
        height_temperature=rows["zt"],
        height_humidity=rows["zq"],
        pressure=100.0 * rows["P_hPa"],
        latitude=rows["lat"],
        boundary_layer_height=rows["zi"],
        salinity=rows["Ss"],
        cool_skin=cool_skin,
        shortwave_down=rows["sw_net"],
        albedo=0.0,
        longwave_down=rows["lw_dn"],
    )
    for field, column in COLUMNS.items():
        assert deviation(flux, field, rows[column]) < 1e-9, field
    assert deviation(flux, "skin_cooling", rows["dT_skinx"]) < 1e-10
    assert deviation(flux, "wind_speed_at_height", rows["U10"]) < 1e-9
    assert deviation(flux, "air_temperature_at_height", rows["T10"] + K) < 1e-9
    same = rows["zt"] == rows["zq"]  # elsewhere the reference mixes the two heights
    np.testing.assert_allclose(
        flux.specific_humidity_at_height[same], rows["Q10"][same] / 1e3, rtol=1e-10
    )


def test_a_plain_call_is_stable() -> None:
    """One number to see at a glance that the physics has not moved."""
    flux = bulk_flux(8.0, 300.15, 298.65, 0.0165)
    assert flux.latent == pytest.approx(146.46829, abs=1e-5)
    assert flux.sensible == pytest.approx(15.894966, abs=1e-5)


def test_outputs_are_declared_in_one_order() -> None:
    """The rows of a block are the fields that callers see."""
    assert BulkFlux._fields == Fluxes._fields
