"""Near-surface air from microwave retrievals by quadratic regression: the baseline.

Wind, column vapour and SST in; air temperature and specific humidity at 10 m out. What is
fitted is bounded physics: the air-sea temperature difference, and the relative humidity on a
logit scale. So no input can give humidity above saturation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluxkernels.thermodynamics import saturation_specific_humidity

Array = NDArray[np.floating[Any]]

TERMS = 10  # of a quadratic in three variables
_PRESSURE = 101_300.0  # Pa: the retrieval knows no other
_SALINITY = 35.0
_WETTEST = 0.98


@dataclass(frozen=True)
class QuadraticRegression:
    """Coefficients of the regression and the ranges it was fitted on.

    Parameters
    ----------
    lower, upper : tuple of float, length 3
        Ranges of wind speed [m s-1], water vapour [kg m-2] and SST [K] in the training sample.
    gap : tuple of float, length 10
        SST minus air temperature [K] on the terms of `quadratic_terms`.
    humidity : tuple of float, length 10
        Logit of relative humidity (of `_WETTEST`) on the same terms.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    gap: tuple[float, ...]
    humidity: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, length in (("lower", 3), ("upper", 3), ("gap", TERMS), ("humidity", TERMS)):
            if len(getattr(self, name)) != length:
                raise ValueError(f"{name} must hold {length} numbers")

    def predict(self, wind: ArrayLike, vapour: ArrayLike, sst: ArrayLike) -> tuple[Array, Array]:
        """Air temperature and specific humidity at 10 m.

        Outside the ranges of the training sample a quadratic runs away; each input is
        therefore held at the end of its range (the SST only in the polynomials, so the air
        still follows the water).

        Parameters
        ----------
        wind : array_like
            10-m equivalent neutral wind, m s-1, any shape.
        vapour : array_like
            Column water vapour, kg m-2.
        sst : array_like
            Sea surface temperature, K.

        Returns
        -------
        air_temperature : ndarray
            K; of the inputs' broadcast shape, NaN where an input is NaN, and only there.
        specific_humidity : ndarray
            kg kg-1, at most 98 % of saturation over sea water.
        """
        scaled = scale((wind, vapour, sst), self.lower, self.upper)
        air: Array = np.asarray(sst, np.float64) - _quadratic(scaled, self.gap)
        logit = _quadratic(scaled, self.humidity)
        return air, _WETTEST / (1.0 + np.exp(-logit)) * _saturation(air)


def scale(
    inputs: Sequence[ArrayLike], lower: Sequence[float], upper: Sequence[float]
) -> list[Array]:
    """Hold each input within its range and map the range to -1 to 1."""
    return [
        2.0 * (np.clip(np.asarray(values, np.float64), low, high) - low) / (high - low) - 1.0
        for values, low, high in zip(inputs, lower, upper, strict=True)
    ]


def _quadratic(scaled: Sequence[Array], coefficients: Sequence[float]) -> Array:
    """The polynomial in the order of `quadratic_terms`, without storing its terms."""
    w, v, s = scaled
    c = coefficients
    with_wind: Array = w * (c[1] + c[4] * w + c[7] * v + c[8] * s)
    others: Array = v * (c[2] + c[5] * v + c[9] * s) + s * (c[3] + c[6] * s)
    return c[0] + with_wind + others


def quadratic_terms(scaled: Sequence[Array]) -> Array:
    """Constant, linear, squared and mixed terms of wind, vapour, SST after `scale`.

    Returns
    -------
    ndarray, shape (..., 10)
        1, w, v, s, w², v², s², wv, ws, vs.
    """
    w, v, s = scaled
    return np.stack([np.ones_like(w), w, v, s, w * w, v * v, s * s, w * v, w * s, v * s], axis=-1)


def fit(
    wind: Array, vapour: Array, sst: Array, air_temperature: Array, specific_humidity: Array
) -> QuadraticRegression:
    """Least-squares fit on a sample.

    Parameters
    ----------
    wind, vapour, sst, air_temperature, specific_humidity : ndarray, shape (n,)
        As in `QuadraticRegression.predict`; without NaN.

    Returns
    -------
    QuadraticRegression
        Its ranges are the 0.1 and 99.9 percentiles of the sample, so that a few strays do
        not set them.
    """
    bounds = [np.percentile(values, [0.1, 99.9]) for values in (wind, vapour, sst)]
    lower = tuple(float(low) for low, _ in bounds)
    upper = tuple(float(high) for _, high in bounds)
    terms = quadratic_terms(scale((wind, vapour, sst), lower, upper))
    relative = specific_humidity / _saturation(air_temperature) / _WETTEST
    relative = np.clip(relative, 0.02, 0.99)
    targets = np.stack([sst - air_temperature, np.log(relative / (1.0 - relative))], axis=-1)
    solution = np.linalg.lstsq(terms, targets, rcond=None)[0]
    return QuadraticRegression(
        lower, upper, tuple(solution[:, 0].tolist()), tuple(solution[:, 1].tolist())
    )


def _saturation(air: Array) -> Array:
    """Humidity in equilibrium with sea water at the air's temperature, kg/kg."""
    return np.asarray(saturation_specific_humidity(air, _PRESSURE, _SALINITY))
