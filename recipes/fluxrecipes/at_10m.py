"""Air measured or modelled at any height, at 10 m, by the bulk algorithm."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

LAPSE = 0.1  # K: a little more than well-mixed air cools from 2 to 10 m


class At10m(NamedTuple):
    """Near-surface air at 10 m and the fluxes that go with it; arrays of one shape."""

    neutral_wind: Floats
    """Equivalent neutral wind, as satellites give it, m s-1."""
    wind_speed: Floats
    """m s-1."""
    air_temperature: Floats
    """K."""
    specific_humidity: Floats
    """kg kg-1."""
    sensible_heat_flux: Floats
    """W m-2, upward."""
    latent_heat_flux: Floats
    """W m-2, upward."""


def at_10m(
    wind_speed: Floats,
    sea_surface_temperature: Floats,
    air_temperature: Floats,
    specific_humidity: Floats,
    **options: Any,
) -> At10m:
    """Bring air to 10 m.

    Parameters
    ----------
    wind_speed, sea_surface_temperature, air_temperature, specific_humidity : ndarray
        m s-1, K, K and kg kg-1, of one shape.
    **options
        Heights, pressure and latitude, as of `fluxkernels.bulk.bulk_flux`.

    Returns
    -------
    At10m
        In a calm below warm air the profiles of similarity theory run away, by tens of kelvin:
        temperature and humidity change no more on the way than from the sea to their sensors, and
        no wind falls below none.
    """
    return _brought(
        10.0, wind_speed, sea_surface_temperature, air_temperature, specific_humidity, **options
    )


def at_2m(
    wind_speed: Floats,
    sea_surface_temperature: Floats,
    air_temperature: Floats,
    specific_humidity: Floats,
    **options: Any,
) -> tuple[Floats, Floats]:
    """Air temperature and specific humidity at 2 m, where many products have them.

    Parameters
    ----------
    wind_speed, sea_surface_temperature, air_temperature, specific_humidity, **options
        As of `at_10m`.

    Returns
    -------
    air_temperature, specific_humidity : ndarray
        K and kg kg-1, held as those at 10 m are.
    """
    made = _brought(
        2.0, wind_speed, sea_surface_temperature, air_temperature, specific_humidity, **options
    )
    return made.air_temperature, made.specific_humidity


def _brought(
    height: float,
    wind_speed: Floats,
    sea_surface_temperature: Floats,
    air_temperature: Floats,
    specific_humidity: Floats,
    **options: Any,
) -> At10m:
    """Air and wind at a height; the neutral wind is that at 10 m."""
    from fluxkernels.bulk import bulk_flux

    made = bulk_flux(
        wind_speed,
        sea_surface_temperature,
        air_temperature,
        specific_humidity,
        at_height=height,
        outputs=(
            "neutral_wind_10m",
            "wind_speed_at_height",
            "air_temperature_at_height",
            "specific_humidity_at_height",
            "surface_humidity",
            "sensible",
            "latent",
        ),
        **options,
    )
    warmest = np.abs(air_temperature - sea_surface_temperature) + LAPSE
    moistest = np.abs(specific_humidity - made.surface_humidity)
    return At10m(
        np.maximum(made.neutral_wind_10m, 0.0),  # in very stable calm air COARE's run below
        np.maximum(made.wind_speed_at_height, 0.0),
        _held(np.asarray(made.air_temperature_at_height), air_temperature, warmest),
        _held(np.asarray(made.specific_humidity_at_height), specific_humidity, moistest),
        np.asarray(made.sensible),
        np.asarray(made.latent),
    )


def _held(values: Floats, about: Floats, most: Floats) -> Floats:
    held: Floats = np.clip(values, about - most, about + most)
    return held
