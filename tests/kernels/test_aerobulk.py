"""NCAR's and ECMWF's algorithms against numbers computed by AeroBulk's own Fortran."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fluxkernels import bulk_flux, ecmwf, ncar, transfer
from fluxkernels.bulk import all_arguments, physics_for
from fluxkernels.limits import conversions
from fluxkernels.surface_layer import Inputs, Options

GOLDEN = Path(__file__).parent / "golden"
Solve = Callable[..., tuple[Any, Any]]
Table = Callable[[Path], np.ndarray]
MODULES = {"ncar": ncar, "ecmwf": ecmwf}


def inputs(row: Any) -> Inputs:
    """The same point in our terms, but for the humidity of the surface."""
    absolute = row["theta_zt_K"] - 273.15 - transfer.LAPSE_RATE * row["zt"]
    return Inputs(
        wind_speed=row["wind_zu"],
        sea_surface_temperature=row["sst_K"] - 273.15,
        air_temperature=absolute,
        specific_humidity=row["q_zt"],
        height_wind=row["zu"],
        height_temperature=row["zt"],
        height_humidity=row["zt"],
        pressure=row["slp_Pa"] / 100.0,
        latitude=30.0,
        boundary_layer_height=600.0,
        salinity=35.0,
        shortwave_down=0.0,
        longwave_down=0.0,
        albedo=0.0,
        rain=0.0,
        wave_speed=math.nan,
        wave_height=math.nan,
        current=0.0,
        at_height=10.0,
    )


# AeroBulk writes square roots in the first guess of ECMWF's with eight digits: seen to 1e-10; its
# exactly neutral rows stand on a jump of the neutral Stanton number.
@pytest.mark.parametrize(("name", "rtol"), [("ncar", 1e-12), ("ecmwf", 1e-9)])
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_every_row_of_aerobulk(
    name: str, rtol: float, table: Table, in_plain_python: Solve
) -> None:
    """Coefficients, the air at the wind's height, and fluxes, edges included."""
    rows = table(GOLDEN / f"aerobulk_{name}.csv.gz")
    assert len(rows) == 538
    physics = MODULES[name].algorithm(Options())
    for row in rows:
        given = {"humidity": row["qs"], "potential": row["theta_zt_K"], "sea": row["sst_K"]}
        flux, state = in_plain_python(physics, inputs(row), **given)
        made = {
            "Cd": flux.transfer_coefficient_momentum,
            "Ch": flux.transfer_coefficient_heat,
            "Ce": flux.transfer_coefficient_moisture,
            "theta_zu": state.potential,
            "q_zu": state.specific_humidity,
            "Ubzu": state.speed,
            "tau": flux.stress,
            "Qsen": -flux.sensible,
            "Qlat": -flux.latent,
            "rho_air": flux.air_density,
        }
        loose = 1e-6 if row["category"] == "neutral_exact" else rtol
        for column, value in made.items():
            assert value == pytest.approx(row[column], rel=loose, abs=1e-14), (column, row)
        if row["category"] != "neutral_exact":
            assert flux.obukhov_length == pytest.approx(row["L"], rel=max(rtol, 1e-8))


ALGORITHMS = "ncar", "ecmwf", "coare30", "coare35", "coare36"
IN_KIND = [("actual", name) for name in ALGORITHMS] + [
    pytest.param("neutral", name, marks=() if name == "coare36" else pytest.mark.slow)
    for name in ALGORITHMS  # each takes seconds to compile
]


@pytest.mark.parametrize(("kind", "name"), IN_KIND)
def test_compiled_is_what_is_written(
    name: str, kind: str, weather: dict[str, np.ndarray], in_plain_python: Solve
) -> None:
    """Vector loops and fast functions give what the physics says in plain Python."""
    few = {field: values[:40] for field, values in weather.items()}
    few |= {"height_temperature": np.full(40, 2.0), "height_humidity": np.full(40, 3.0)}
    call = all_arguments(**few, algorithm=name, wind_kind=kind, at_height=4.0)
    given = {field: call[field] for field in Inputs._fields}
    physics = physics_for(given, name, kind, cool_skin=False)
    compiled = bulk_flux(**few, algorithm=name, wind_kind=kind, at_height=4.0)
    units = conversions(Inputs._fields)
    for k in range(40):
        values = (np.broadcast_to(given[field], 40)[k] for field in Inputs._fields)
        x = [value * factor + offset for value, (factor, offset) in zip(values, units, strict=True)]
        flux, _ = in_plain_python(physics, x)
        for field in physics.outputs._fields:
            assert getattr(compiled, field)[k] == pytest.approx(
                getattr(flux, field), rel=1e-8, abs=1e-13, nan_ok=True
            ), field


@pytest.mark.parametrize("name", ["ncar", "ecmwf"])
def test_the_surface_is_as_humid_as_buck_says(name: str) -> None:
    """Each has a formula of its own; over the ocean they differ by less than a per cent."""
    sea = np.linspace(274.0, 304.0, 7)
    humidity = bulk_flux(8.0, sea, sea - 1.0, 0.005, algorithm=name).surface_humidity
    expected = bulk_flux(8.0, sea, sea - 1.0, 0.005).surface_humidity
    np.testing.assert_allclose(humidity, expected, rtol=0.01)
    fresh = bulk_flux(8.0, 300.0, 299.0, 0.015, algorithm=name, salinity=0.0).surface_humidity
    salty = bulk_flux(8.0, 300.0, 299.0, 0.015, algorithm=name).surface_humidity
    assert fresh / salty == pytest.approx(1.0 / 0.98, rel=1e-3)
