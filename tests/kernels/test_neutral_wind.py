"""The 10-m equivalent neutral wind, out of the kernel and into it again."""

from __future__ import annotations

import numpy as np
import pytest

from fluxkernels import bulk_flux, coare, ecmwf, ncar
from fluxkernels.fluxes import BulkFlux

KARMAN = 0.4


def there_and_back(
    weather: dict[str, np.ndarray], above: float, **keywords: object
) -> tuple[BulkFlux, BulkFlux]:
    """Fluxes from the actual wind, and from the neutral wind that came out of them."""
    enough = weather["wind_speed"] > above
    given = {name: array[enough] for name, array in weather.items()}
    there = bulk_flux(**given, **keywords)  # type: ignore[arg-type]
    given["wind_speed"] = there.neutral_wind_10m
    return there, bulk_flux(**given, wind_kind="neutral", **keywords)  # type: ignore[arg-type]


@pytest.mark.parametrize("height", [4.0, 25.0])
@pytest.mark.parametrize("cool_skin", [False, True])
def test_round_trip(weather: dict[str, np.ndarray], height: float, cool_skin: bool) -> None:
    """Ten passes bring both ways to the same fluxes, wherever there is some wind."""
    there, back = there_and_back(weather, 4.0, height_wind=height, cool_skin=cool_skin)
    np.testing.assert_allclose(back.neutral_wind_10m, there.neutral_wind_10m, atol=1e-6)
    np.testing.assert_allclose(back.wind_speed, there.wind_speed, atol=2e-3)
    np.testing.assert_allclose(back.latent, there.latent, atol=0.02)
    np.testing.assert_allclose(back.sensible, there.sensible, atol=0.02)
    np.testing.assert_allclose(back.stress, there.stress, atol=1e-4)


@pytest.mark.parametrize("algorithm", ["coare36", "ncar", "ecmwf"])
def test_round_trip_is_exact_when_settled(
    weather: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    """What the passes leave is the iteration's remainder: the two definitions are one."""
    for module in (coare, ncar, ecmwf):
        monkeypatch.setattr(module, "PASSES", 60)
    there, back = there_and_back(weather, 4.0, height_wind=7.0, algorithm=algorithm)
    if algorithm == "ncar":  # between stable and unstable its Stanton number jumps: no rest there
        settled = np.isclose(back.wind_speed, there.wind_speed, rtol=1e-9, atol=0.0)
        assert settled.mean() > 0.95
        there, back = (BulkFlux(*(v[settled] for v in flux)) for flux in (there, back))
    for name in ("wind_speed", "latent", "sensible", "stress", "gustiness", "roughness_length"):
        expected = getattr(there, name)
        np.testing.assert_allclose(
            getattr(back, name), expected, rtol=1e-9, atol=1e-9, err_msg=name
        )


def test_light_winds_come_back_closely(weather: dict[str, np.ndarray]) -> None:
    """Down to 1 m/s in unstable air, where most light winds are."""
    there, back = there_and_back(weather, 1.0)
    unstable = there.obukhov_length < 0.0
    assert unstable.mean() > 0.5
    np.testing.assert_allclose(back.latent[unstable], there.latent[unstable], atol=0.02)


def test_a_calm_is_a_calm() -> None:
    """At no wind both kinds mean the same, in convection and in extreme stability."""
    sea = np.array([303.0, 300.0, 290.0])
    actual = bulk_flux(0.0, sea, 299.0, 0.012)
    neutral = bulk_flux(0.0, sea, 299.0, 0.012, wind_kind="neutral")
    np.testing.assert_allclose(neutral.latent, actual.latent, rtol=1e-12)
    np.testing.assert_array_equal(neutral.wind_speed, 0.0)


def test_definition(weather: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """U10N = (u* / kappa) (U / S) log(10 / zo), gustiness taken out."""
    monkeypatch.setattr(coare, "PASSES", 60)
    _, flux = there_and_back(weather, 4.0)
    mean = flux.wind_speed / np.hypot(flux.wind_speed, flux.gustiness)
    by_definition = flux.friction_velocity / KARMAN * mean * np.log(10.0 / flux.roughness_length)
    np.testing.assert_allclose(flux.neutral_wind_10m, by_definition, rtol=1e-9)


def test_stability_sets_the_actual_wind_apart() -> None:
    """In unstable air the neutral wind of a given wind is stronger, in stable air weaker."""
    flux = bulk_flux(8.0, 295.0, np.array([290.0, 300.0]), 0.008, wind_kind="neutral")
    assert flux.wind_speed[0] < 8.0 < flux.wind_speed[1]


def test_the_neutral_wind_is_one_at_ten_metres() -> None:
    """The anemometer's height moves the wind that comes out, and the fluxes hardly.

    (By what COARE's gust factor, taken at that height, changes with it.)
    """
    heights = np.array([5.0, 10.0, 20.0])
    flux = bulk_flux(9.0, 299.0, 297.5, 0.013, height_wind=heights, wind_kind="neutral")
    assert (np.diff(flux.wind_speed) > 0.1).all()
    np.testing.assert_allclose(flux.latent, flux.latent[1], rtol=1e-3)
    np.testing.assert_allclose(flux.wind_speed_at_height, flux.wind_speed_at_height[1], rtol=1e-3)
