"""Moorings of the tropical arrays and of the long flux time series, at their nominal positions."""

from __future__ import annotations

import re

from fluxrecipes.nature.platforms import Station

# Sites by the names that the Global Tropical Moored Buoy Array gives them: position as written,
# latitude first. TRITON moorings, in the far west of the Pacific, have lower masts.
_TAO = (
    *(f"{lat}{lon}" for lon in ("165e", "180w", "170w", "155w", "140w", "125w", "110w", "95w")
      for lat in ("8n", "5n", "2n", "0n", "2s", "5s", "8s")),
)  # fmt: skip
_TRITON = (
    *(f"{lat}156e" for lat in ("8n", "5n", "2n", "0n", "2s", "5s")),
    *("5n147e", "2n147e", "0n147e", "8n137e", "5n137e", "2n138e", "0n138e", "8n130e"),
)
_PIRATA = (
    *("20n38w", "15n38w", "12n38w", "8n38w", "4n38w", "0n35w", "21n23w", "12n23w", "4n23w"),
    *("0n23w", "0n10w", "0n0e", "6s10w", "10s10w", "6s8e", "8s30w", "14s32w", "19s34w"),
)
_RAMA = (
    *(f"{lat}80.5e" for lat in ("1.5n", "0n", "1.5s", "4s", "8s", "12s", "16s")),
    *("15n90e", "12n90e", "8n90e", "4n90e", "1.5n90e", "0n90e", "1.5s90e", "5s95e", "8s95e"),
    *("1.5n67e", "0n67e", "1.5s67e", "4s67e", "8s67e", "12s67e", "8s55e", "12s55e"),
)
ARRAYS = {"TAO": _TAO, "TRITON": _TRITON, "PIRATA": _PIRATA, "RAMA": _RAMA}


def position(site: str) -> tuple[float, float]:
    """Latitude and longitude (0 to 360) of a site's name, such as ``1.5n80.5e``."""
    found = re.fullmatch(r"([\d.]+)([ns])([\d.]+)([ew])", site)
    if found is None:
        raise ValueError(f"{site!r} is no position")
    latitude = float(found[1]) * (1 if found[2] == "n" else -1)
    return latitude, (float(found[3]) * (1 if found[4] == "e" else -1)) % 360.0


def _station(site: str, array: str) -> Station:
    heights = (3.5, 2.2, 1.5) if array == "TRITON" else (4.0, 3.0, 1.0)
    return Station(site, *position(site), *heights)


MOORINGS = {
    site: (_station(site, array), array) for array, sites in ARRAYS.items() for site in sites
}

# Woods Hole's long flux moorings, with OceanSITES' codes of the sites.
FLUX_MOORINGS = (
    Station("WHOTS", 22.67, 202.05, 3.4, 3.1, 0.85),
    Station("STRATUS", -19.70, 274.50, 3.4, 3.1, 0.85),
    Station("NTAS", 14.83, 308.98, 3.4, 3.1, 0.85),
)
