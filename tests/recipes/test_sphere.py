"""Places on the sphere and the distances between them."""

from __future__ import annotations

import numpy as np
import pytest

from fluxrecipes.sphere import EARTH_RADIUS, arc, distance, unit_vectors


def test_distances_are_those_of_the_sphere() -> None:
    assert distance(0.0, 359.5, 0.0, 0.5) == pytest.approx(111.19, abs=0.01)
    assert distance(60.0, 10.0, 60.0, 12.0) == pytest.approx(111.17, abs=0.05)
    assert distance(-90.0, 7.0, 90.0, 100.0) == pytest.approx(np.pi * EARTH_RADIUS)


def test_both_ways_to_a_distance_agree_in_any_convention_of_longitude() -> None:
    generator = np.random.default_rng(7)
    latitude, longitude = generator.uniform(-90, 90, 200), generator.uniform(-180, 180, 200)
    place = unit_vectors(latitude, longitude)
    there = unit_vectors(np.array([-20.0, 15.0]), np.array([275.0, 309.0]))
    found = arc(place @ there.T)
    assert found.shape == (200, 2)
    for column, (north, east) in zip(found.T, ((-20.0, 275.0), (15.0, 309.0)), strict=True):
        np.testing.assert_allclose(column, distance(latitude, longitude, north, east), atol=1e-3)


def test_a_place_is_decimetres_from_itself_at_the_most() -> None:
    place = unit_vectors(np.linspace(-90, 90, 181), np.linspace(0, 360, 181))
    assert np.diag(arc(place @ place.T)).max() < 1e-3
