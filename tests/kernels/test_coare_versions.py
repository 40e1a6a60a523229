"""COARE 3.0 and 3.5, and the waves of 3.6, against NOAA's own test data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fluxkernels import bulk_flux

K = 273.15
WAVES = Path(__file__).parent / "golden" / "coare36_waves.csv"


def deviation(values: np.ndarray, expected: np.ndarray | pd.Series) -> float:
    """Greatest difference; NaN counts as one."""
    return float(np.max(np.abs(np.asarray(values) - np.asarray(expected))))


def test_coare35_python(coare_data: Path) -> None:
    """The 116 rows of 3.5, printed in full: relative humidity by that version's own formula."""
    given = pd.read_csv(coare_data / "py35_test_35_data.txt", sep=r"\s+")
    lines = (coare_data / "test_35_output_py_082020.txt").read_text().splitlines()
    names = lines[0].lstrip("# ").split()
    expected = pd.DataFrame([line.split() for line in lines[1:]], columns=names).astype(float)
    saturated = 6.1121 * np.exp(17.502 * given.t / (240.97 + given.t))
    vapour = given.rh / 100.0 * saturated * (1.0007 + 3.46e-6 * given.P)
    flux = bulk_flux(
        given.u.to_numpy(),
        given.ts.to_numpy() + K,
        given.t.to_numpy() + K,
        (0.62197 * vapour / (given.P - 0.378 * vapour)).to_numpy(),
        height_wind=given.zu.to_numpy(),
        height_temperature=given.zt.to_numpy(),
        height_humidity=given.zq.to_numpy(),
        pressure=100.0 * given.P.to_numpy(),
        latitude=given.lat.to_numpy(),
        boundary_layer_height=given.zi.to_numpy(),
        cool_skin=True,
        shortwave_down=given.Rs.to_numpy(),
        longwave_down=given.Rl.to_numpy(),
        rain=given.rain.to_numpy() / 3600.0,
        algorithm="coare35",
    )
    assert len(given) == 116
    assert deviation(flux.sensible, expected.hsb) < 1e-10
    assert deviation(flux.latent, expected.hlb) < 1e-10
    assert deviation(flux.stress, expected.tau) < 1e-13
    assert deviation(flux.skin_cooling, expected.dter) < 1e-12
    assert deviation(flux.webb_latent, expected.hlwebb) < 1e-10
    assert deviation(flux.rain_heat, expected.RF) < 1e-9


def test_coare30_fortran(coare_data: Path) -> None:
    """The 116 rows of 3.0, printed with two decimals (the stress with five).

    The sea is warmed as the reference's warm layer has it, which is known to two decimals only:
    a hundredth of a kelvin over 19 m or less, at 5 cm.
    """
    given = np.loadtxt(coare_data / "test3_0.txt").T
    expected = np.loadtxt(coare_data / "tst3_0af_out.txt").T
    warmth, thickness = expected[9], expected[10]
    wind, sea, air, humidity, shortwave, longwave, rain, latitude = given[1:9]
    flux = bulk_flux(
        wind,
        sea + warmth * np.minimum(1.0, 0.05 / thickness) + K,
        air + K,
        humidity / 1000.0,
        height_wind=15.0,
        height_temperature=15.0,
        height_humidity=15.0,
        pressure=100_800.0,
        latitude=latitude,
        cool_skin=True,
        shortwave_down=shortwave,
        longwave_down=longwave,
        rain=rain / 3600.0,
        algorithm="coare30",
    )
    assert deviation(flux.sensible, expected[2]) < 0.0051
    assert deviation(flux.latent, expected[3]) < 0.011
    assert np.median(np.abs(flux.latent - expected[3])) < 0.003
    assert deviation(flux.stress, expected[5]) < 5.1e-6
    assert deviation(flux.rain_heat, expected[7]) < 0.0051
    assert deviation(flux.skin_cooling, expected[8]) < 0.0051


@pytest.mark.parametrize(("dtype", "heat", "stress"), [("f8", 1e-7, 1e-10), ("f4", 5e-3, 1e-5)])
def test_coare36_with_waves(dtype: str, heat: float, stress: float) -> None:
    """Sea state, and wave age alone where no height is given."""
    rows = pd.read_csv(WAVES)
    assert rows.sigH.isna().sum() == 6
    columns = {name: rows[name].to_numpy(dtype) for name in rows.columns}
    flux = bulk_flux(
        columns["u"],
        (rows.sst_C + K).to_numpy(dtype),
        (rows.t_C + K).to_numpy(dtype),
        columns["q"],
        height_wind=columns["zu"],
        height_temperature=columns["zt"],
        height_humidity=columns["zq"],
        pressure=100 * columns["P_hPa"],
        latitude=columns["lat"],
        boundary_layer_height=columns["zi"],
        salinity=columns["Ss"],
        cool_skin=True,
        shortwave_down=columns["sw_net"],
        albedo=0.0,
        longwave_down=columns["lw_dn"],
        rain=(rows.rain_mm_h / 3600.0).to_numpy(dtype),
        wave_speed=columns["cp"],
        wave_height=columns["sigH"],
    )
    assert flux.latent.dtype == dtype
    assert deviation(flux.sensible, rows.hsb) < heat
    assert deviation(flux.latent, rows.hlb) < heat
    assert deviation(flux.stress, rows.tau) < stress
    if dtype == "f8":
        assert deviation(flux.roughness_length, rows.zo) < 1e-12
        assert deviation(flux.neutral_wind_10m, rows.U10N) < 1e-9
        assert deviation(flux.rain_heat, rows.hrain) < 1e-8


def test_without_waves_the_wind_makes_them() -> None:
    """NaN says that no waves are given, not that the point is missing."""
    wind = np.array([4.0, 8.0, 16.0])
    plain = bulk_flux(wind, 300.0, 298.0, 0.015)
    none = bulk_flux(wind, 300.0, 298.0, 0.015, wave_speed=np.full(3, np.nan), wave_height=2.0)
    np.testing.assert_allclose(none.latent, plain.latent, rtol=1e-13)
