"""Figures that others published, to stand beside ours: marked so wherever they are shown."""

from __future__ import annotations

from typing import NamedTuple

PAPER = "Wang, Wang and Li (2026), table 4"
MARK = "published, real"  # of figures that stand beside ours


class Published(NamedTuple):
    """A row of table 4: in situ reports of all kinds, 1992 to 2020.

    Parameters
    ----------
    product : str
    orbit : str
        Empty where the figures are of both passes, or of days.
    rmse, correlation : dict of str to float
        By variable; in °C, g/kg and W m-2.
    """

    product: str
    orbit: str
    rmse: dict[str, float]
    correlation: dict[str, float]


AIR, HUMIDITY = "air_temperature", "specific_humidity"
SENSIBLE, LATENT = "sensible_heat_flux", "latent_heat_flux"


def _row(product: str, rmse: tuple[float, ...], correlation: tuple[float, ...]) -> Published:
    names = (AIR, HUMIDITY, SENSIBLE, LATENT)
    return Published(
        product, "", dict(zip(names, rmse, strict=True)), dict(zip(names, correlation, strict=True))
    )


TABLE_4 = (
    _row("NCEP", (0.90, 1.25, 13.15, 54.67), (0.97, 0.91, 0.76, 0.68)),
    _row("ERA5", (1.03, 1.22, 10.16, 38.72), (0.97, 0.95, 0.75, 0.78)),
    _row("OHF CDR", (0.84, 1.09, 10.03, 38.98), (0.97, 0.93, 0.52, 0.65)),
    _row("IFREMER", (0.93, 0.94, 10.16, 32.44), (0.98, 0.96, 0.86, 0.81)),
    _row("OAFlux", (0.58, 0.99, 6.13, 31.04), (0.99, 0.94, 0.88, 0.80)),
    Published("DeepFlux", "ascending", {AIR: 0.53, HUMIDITY: 0.71}, {AIR: 0.99, HUMIDITY: 0.97}),
    Published("DeepFlux", "descending", {AIR: 0.53, HUMIDITY: 0.70}, {AIR: 0.99, HUMIDITY: 0.97}),
    Published("DeepFlux", "", {SENSIBLE: 5.53, LATENT: 25.28}, {SENSIBLE: 0.88, LATENT: 0.87}),
)


class Monthly(NamedTuple):
    """Root mean square error of monthly means at a withheld station, in section 4.2.

    Parameters
    ----------
    station : str
    variable : str
        In words, as of `fluxrecipes.matchups.scores.COMPARED`.
    series : str
        Pass, or product.
    rmse : float
        In °C, g/kg and W m-2.
    """

    station: str
    variable: str
    series: str
    rmse: float


# Where the text gives one figure after the other for both passes, they are taken in this order. Its
# sentences on humidity can be read otherwise: 0.69 as ERA5's own, 0.71 and 0.65 as IFREMER's.
STATIONS = (
    Monthly("WHOTS", "air temperature", "ascending", 0.40),
    Monthly("WHOTS", "air temperature", "descending", 0.41),
    Monthly("WHOTS", "specific humidity", "ascending", 0.61),
    Monthly("WHOTS", "specific humidity", "descending", 0.69),
    Monthly("WHOTS", "sensible heat flux", "both passes", 3.93),
    Monthly("WHOTS", "latent heat flux", "both passes", 15.2),
    Monthly("STRATUS", "specific humidity", "ascending", 0.71),
    Monthly("STRATUS", "specific humidity", "descending", 0.65),
)
STATIONS_PAPER = "Wang, Wang and Li (2026), section 4.2"


class Range(NamedTuple):
    """Between what monthly global means lie, 1992 to 2020, in section 4.3; W m-2."""

    variable: str
    product: str
    low: float
    high: float


GLOBAL_MEANS = (
    Range("sensible_heat_flux", "DeepFlux", 4.0, 9.0),
    Range("latent_heat_flux", "DeepFlux", 80.0, 90.0),
)
GLOBAL_PAPER = "Wang, Wang and Li (2026), section 4.3"
