"""SST continued onto coasts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fluxrecipes.coast import continued

NAN = np.nan


def test_the_nearest_value_is_taken_around_the_globe_and_not_from_afar():
    sea = np.full((1, 3, 8), NAN)
    sea[0, 1, 0] = 290.0
    made = continued(sea)
    expected = [290.0, 290.0, 290.0, NAN, NAN, NAN, 290.0, 290.0]
    np.testing.assert_array_equal(made[0, 1], expected)
    np.testing.assert_array_equal(made[0, 0], [290.0, 290.0, NAN, NAN, NAN, NAN, NAN, 290.0])


@given(
    arrays.arrays(
        "f4",
        (2, 5, 7),
        elements=st.sampled_from([np.float32(NAN), np.float32(280.5), np.float32(300.25)]),
    )
)
def test_what_was_there_stays_and_nothing_is_invented(maps):
    before = maps.copy()
    made = continued(maps)
    np.testing.assert_array_equal(maps, before)
    there = np.isfinite(maps)
    np.testing.assert_array_equal(made[there], maps[there])
    assert np.isin(made[np.isfinite(made)], maps[there]).all()
    assert made.dtype == maps.dtype
