"""What sea, air and wind contribute to the trend of a flux, by the bulk formula's derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fluxrecipes import vocabulary as cf
from fluxrecipes.trends.series import Of, departures, series_of

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.floating]

CAUSES = (cf.wind_speed, cf.sea_surface_temperature, cf.air_temperature, cf.specific_humidity)
REST = "rest"


def contributions(
    monthly: Mapping[str, xr.DataArray], flux: str, algorithm: str, of: Of, min_months: int
) -> dict[str, xr.DataArray]:
    """Series whose trends add up to that of a flux, to first order.

    A cause's departure of a month from its usual value, times what the flux changes with it in the
    usual state of that month. The rest is what the flux did beside: products of departures, of days
    within a month too, corrections, and the formula's curvature.

    Parameters
    ----------
    monthly : mapping of str to DataArray
        The flux and the four of `CAUSES`, on (time, lat, lon).
    flux : str
        Name of one of `fluxrecipes.vocabulary.FLUXES`.
    algorithm : str
        As `fluxkernels.bulk.bulk_flux` names it.
    of : {"years", "months"}
    min_months : int
        As of `series_of`.

    Returns
    -------
    dict of str to DataArray
        On (year, lat, lon), in the flux's unit: by the names of the causes, and ``rest``.
    """
    from fluxkernels.derivatives import bulk_flux_derivatives

    names = [v.name for v in CAUSES]
    given = monthly[flux]
    months = given["time"].values.astype("datetime64[M]").astype(int)
    apart, usual = {}, {}
    for name in (*names, flux):
        apart[name], usual[name], _ = departures(monthly[name].values.astype(np.float64), months)
    output = "latent" if flux == cf.latent_heat_flux.name else "sensible"
    slopes = bulk_flux_derivatives(
        *(usual[name] for name in names),
        latitude=given["lat"].values.astype(float)[:, None],
        wind_kind="neutral",
        algorithm=algorithm,
        outputs=(output,),
    )
    found, left = {}, apart[flux]
    for name in names:
        part = apart[name] * getattr(slopes[name], output)[months % 12]
        left = left - part
        found[name] = series_of(given.copy(data=part), of, min_months)
    found[REST] = series_of(given.copy(data=left), of, min_months)
    return found
