"""What pairs of ships say of a ship's errors."""

from __future__ import annotations

import numpy as np
import pytest
from matchupworld import DAYS, matchups

from fluxkernels.thermodynamics import saturation_specific_humidity
from fluxrecipes.matchups import ships
from fluxrecipes.matchups.matching import Matchups
from fluxrecipes.sources.reports import MOORED, SHIP

CELLS = 2_000
ERRORS = {
    "air_temperature": 0.8,
    "specific_humidity": 0.06,
    "wind_speed": 1.5,
    "sensible_heat_flux": 12.0,
    "latent_heat_flux": 40.0,
}


def met(alone: bool = False, cells: int = CELLS) -> Matchups:
    """Two ships in each cell, or each in one of its own, and a buoy that errs by far more."""
    rng = np.random.default_rng(0)
    number = 3 * cells
    cell, which = np.divmod(np.arange(number), 3)
    saturated = saturation_specific_humidity(298.0, 101_300.0)
    usual = {
        "air_temperature": 298.0,
        "specific_humidity": 0.8 * saturated,
        "wind_speed": 30.0,
        "sensible_heat_flux": 10.0,
        "latent_heat_flux": 100.0,
    }
    values = {}
    for name, usually in usual.items():
        error = ERRORS[name] * (saturated if name == "specific_humidity" else 1.0)
        of_cell = rng.standard_normal(cells)[cell] * 3 * error
        spread = np.where(which == 2, 20.0, 1.0) * error
        values[name] = usually + of_cell + spread * rng.standard_normal(number)
    values["air_temperature"] = np.where(which < 2, values["air_temperature"], 298.0)
    return matchups(
        number,
        platform=np.char.add(b"S", (cell % 7 + 10 * which).astype("S15")),
        kind=np.where(which == 2, MOORED, SHIP).astype(np.uint8),
        column=np.arange(number) if alone else cell % 360,
        row=cell // 360,
        day=DAYS[(cell // 720) % DAYS.size],
        **values,
    )


def test_errors_come_back_from_differences() -> None:
    found = ships.of_pairs(met())
    assert found is not None and found.pairs == CELLS
    for name, error in ERRORS.items():
        assert found.errors[name] == pytest.approx(error, rel=0.05), name
    told = ships.table(found)
    assert "2,000 pairs" in told.title
    wanted = {name: pytest.approx(error, rel=0.05) for name, error in ERRORS.items()}
    assert {name: float(error) for name, error, _ in told.rows} == wanted  # as a train.yaml has it


def test_without_pairs_nothing_is_told() -> None:
    assert ships.of_pairs(met(alone=True)) is None
    assert ships.of_pairs(met(cells=ships.FEWEST - 1)) is None
    assert ships.of_pairs(met().at(np.zeros(0, int))) is None


def test_one_ship_twice_is_no_pair() -> None:
    some = met()
    same = Matchups(**{**vars(some), "platform": np.full(len(some), b"ONE", "S16")})
    assert ships.of_pairs(same) is None
