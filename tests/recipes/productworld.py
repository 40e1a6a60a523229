"""Matchups and days of a dozen platforms, with products whose errors are known."""

from __future__ import annotations

import numpy as np
from matchupworld import matchups

from fluxrecipes import vocabulary as cf
from fluxrecipes.matchups import beside, file
from fluxrecipes.matchups.beside import Beside
from fluxrecipes.matchups.daily import Days
from fluxrecipes.sources.reports import GTMBA, NDBC

STATIONS, LENGTH = 12, 500
NUMBER = STATIONS * LENGTH
FLUXES = ("sensible_heat_flux", "latent_heat_flux")
STATES = np.array([cf.OBSERVED, cf.COMPLETED, cf.REANALYSIS, cf.PERSISTED, 0], np.uint8)
ERRORS = {"record": 20.0, "good": 10.0, "shares": 8.0}


def platforms() -> np.ndarray:
    names = [b"WHOTS", *(f"4100{n:02}".encode() for n in range(1, STATIONS))]
    return np.repeat(np.array(names, "S16"), LENGTH)


def dates() -> np.ndarray:
    return np.tile(np.datetime64("2014-01-01") + np.arange(LENGTH), STATIONS)


def some_days(rng: np.random.Generator) -> Days:
    """Products with known errors; 'shares' has those of the reports, the opposite way."""
    truth = {
        "air_temperature": 292.0 + rng.normal(0, 4, NUMBER),
        "specific_humidity": 0.012 + rng.normal(0, 0.003, NUMBER),
        "sensible_heat_flux": rng.normal(10, 12, NUMBER),
        "latent_heat_flux": rng.normal(110, 50, NUMBER),
    }
    in_situ = {name: values + 0.0 for name, values in truth.items()}
    reported = 12.0 * rng.normal(size=NUMBER)
    in_situ["latent_heat_flux"] = in_situ["latent_heat_flux"] + reported
    in_situ["air_temperature_2m"] = in_situ["air_temperature"] + 0.3
    in_situ["specific_humidity_2m"] = in_situ["specific_humidity"] + 0.0004
    products = {
        name: truth | {"latent_heat_flux": truth["latent_heat_flux"] + error * noise}
        for (name, error), noise in zip(ERRORS.items(), rng.normal(size=(3, NUMBER)), strict=True)
    }
    products["record"]["latent_heat_flux"] = truth["latent_heat_flux"] + rng.normal(size=NUMBER)
    products["good"]["latent_heat_flux"] = truth["latent_heat_flux"] - reported
    lower = products["good"]
    lower["air_temperature_2m"] = lower.pop("air_temperature") + 0.5
    products["shares"] = {name: products["shares"][name] for name in FLUXES}
    products["shares"]["latent_heat_flux"][::10] = np.nan
    index = np.arange(NUMBER)
    platform = platforms()
    sets = np.where(platform == b"WHOTS", beside.KEPT_BACK, beside.TRAIN).astype(np.uint8)
    small = {name: values.astype("f4") for name, values in in_situ.items()}
    wind = rng.uniform(1, 15, NUMBER).astype("f4")
    other = {
        "cloud_liquid_water": np.full(NUMBER, 0.03, "f4"),
        "water_vapour": np.full(NUMBER, 30.0, "f4"),
        "sea_surface_temperature": np.where(wind > 6.0, 290.0, np.nan).astype("f4"),
    }
    columns = {
        product: {name: values.astype("f4") for name, values in own.items()}
        for product, own in products.items()
    }
    return Days(
        platform, dates(), index % 120, index % 360, np.zeros(NUMBER), np.zeros(NUMBER),
        np.full(NUMBER, NDBC, np.uint8), np.full(NUMBER, 24), sets, STATES[index % len(STATES)],
        {"wind_speed": wind} | other, small, columns,
    )  # fmt: skip


def stored() -> file.Stored:
    """As a file of matchups holds them."""
    rng = np.random.default_rng(3)
    platform, number = platforms(), NUMBER
    orbit = np.arange(number) % 2
    blowing, unlike = rng.uniform(1, 15, number), rng.normal(size=(2, number))
    reported = {
        "air_temperature": 290 + rng.normal(0, 5, number),
        "specific_humidity": 0.012 + rng.normal(0, 0.003, number),
        "sensible_heat_flux": rng.normal(10, 8, number),
        "latent_heat_flux": rng.normal(110, 50, number),
        "sea_surface_temperature": 291 + rng.normal(0, 5, number),
        "neutral_wind": blowing + unlike[0],
    }
    found = matchups(
        number,
        platform=platform,
        day=dates(),
        time=dates().astype("M8[s]"),
        orbit=orbit,
        satellite=rng.choice([16, 17], number).astype(np.uint8),
        state=rng.choice([cf.OBSERVED, cf.COMPLETED], number).astype(np.uint8),
        feed=np.where(platform < b"410006", NDBC, GTMBA).astype(np.uint8),
        row=np.zeros(number, np.intp),
        column=np.arange(number) % 360,
        **reported,
    )
    record = {
        name: (reported.get(name, reported["neutral_wind"]) + 0.0).astype("f4")
        for name in (*beside.OF_PASSES[:5], "wind_speed", "wind_speed_corrected")
    }
    record["air_temperature"] += np.float32(0.5) * orbit.astype("f4")
    record["wind_speed"] = (blowing + 0.8 + unlike[1]).astype("f4")
    record["wind_speed_corrected"] = (blowing + 0.4 * unlike[1]).astype("f4")
    record |= {n: np.full(number, 0.1, "f4") for n in ("cloud_liquid_water", "water_vapour")}
    sets = beside.sets_of(found)
    verdicts = np.full(number, beside.KEPT, np.uint8)
    told = {"simulated": "seed 9"}
    return file.Stored(Beside(found, record), verdicts, sets, told, some_days(rng))
