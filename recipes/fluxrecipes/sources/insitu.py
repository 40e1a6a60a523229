"""Reports of buoys, moorings and ships in one table: one group a month, a row for each report."""

from __future__ import annotations

from fluxengine.tables import Table
from fluxrecipes.sources import gtmba, icoads, ndbc, oceansites, reports, whots

INSITU = Table(
    name="insitu",
    columns=reports.COLUMNS,
    merges=(reports.PLATFORM.name, "averaging"),
    place=reports.place,
    absent=reports.ABSENT,
    completes=reports.completed,
    feeds=(ndbc.FEED, gtmba.FEED, oceansites.FEED, whots.FEED, icoads.FEED),
    title="In-situ reports of wind, air temperature, humidity, sea surface temperature, pressure",
    summary="Reports as measured, at the heights of their sensors: nothing is brought to 10 m."
    " Heights are missing where the provider does not tell them; typical ones are 4 or 5 m for the"
    " anemometers of moored buoys, 3 or 4 m for their thermometers, and 20 to 40 m for those of"
    " merchant ships. Wind direction is where the wind blows from, longitude is 0 to 360, humidity"
    " is specific humidity, computed from what humidity_form says. Values that the provider"
    " rejected or that cannot be are missing, and the quality variables say so. report_status tells"
    " duplicates and reports that the provider rejected as a whole: use those with 'accepted'.",
)
