"""Values in the store: packing never wraps, and a digest stands for exactly the stored values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fluxengine.declare import ENGINE_FLAGS, Packing, flag_variable
from fluxengine.digest import content_digest
from fluxengine.errors import DeclarationError, OutOfRange

KELVIN = Packing("i2", 0.002, 290.0, -32768)
FLOATS = hnp.arrays("f8", hnp.array_shapes(), elements=st.floats(allow_subnormal=False))


@given(
    st.sampled_from(["i1", "i2", "i4", "u1", "u2"]),
    st.floats(1e-6, 10),
    st.floats(-300, 300),
    st.data(),
)
def test_a_packed_value_comes_back_within_half_a_step(
    dtype: str, scale: float, offset: float, data: st.DataObject
) -> None:
    info = np.iinfo(dtype)
    packing = Packing(dtype, scale, offset, int(info.max))
    share = data.draw(hnp.arrays("f8", 20, elements=st.floats(0, 1)))
    values = offset + scale * (info.min + 1 + share * (float(info.max) - 2 - float(info.min)))
    back = packing.unpack(packing.pack(values, "x"), "f8")
    assert np.abs(back - values).max() <= scale * 0.5 * (1 + 1e-6)


@given(hnp.arrays("i2", 50))
def test_what_was_unpacked_packs_to_the_same_integers(raw: np.ndarray) -> None:
    assert (KELVIN.pack(KELVIN.unpack(raw, "f8"), "x") == raw).all()
    assert (KELVIN.pack(KELVIN.unpack(raw), "x") == raw).all()


def test_missing_values_become_fill_and_come_back() -> None:
    raw = KELVIN.pack(np.array([290.0, np.nan]), "x")
    assert raw.tolist() == [0, -32768]
    assert np.isnan(KELVIN.unpack(raw)).tolist() == [False, True]


@pytest.mark.parametrize("value", [700.0, 0.0, 290 + 0.002 * 32768, np.inf, -np.inf])
def test_a_value_that_does_not_fit_raises_and_never_wraps(value: float) -> None:
    with pytest.raises(OutOfRange, match="cannot be stored: its packing holds 224"):
        KELVIN.pack(np.array([290.0, value]), "air_temperature")


@pytest.mark.parametrize(("dtype", "end"), [("i8", 2.0**63), ("u8", 2.0**64)])
def test_a_value_just_beyond_the_widest_integers_does_not_wrap(dtype: str, end: float) -> None:
    with pytest.raises(OutOfRange):
        Packing(dtype).pack(np.array([end]), "count")
    assert Packing(dtype).pack(np.array([end / 2]), "count").tolist() == [end / 2]


def test_a_value_that_would_read_as_missing_raises() -> None:
    with pytest.raises(OutOfRange):
        KELVIN.pack(np.array([290 - 0.002 * 32768]), "x")


def test_missing_values_need_a_fill_value() -> None:
    with pytest.raises(OutOfRange, match="no fill value"):
        Packing("u1").pack(np.array([np.nan]), "count")


def test_a_float_too_large_for_its_dtype_raises() -> None:
    with pytest.raises(OutOfRange, match="too large"):
        Packing("f4").pack(np.array([1e300]), "x")


def test_floats_are_stored_as_they_are() -> None:
    values = np.array([1.5, np.nan, -0.1], "f4")
    back = Packing("f4").unpack(Packing("f4").pack(values, "x"))
    np.testing.assert_array_equal(back, values)


def test_wide_integers_and_doubles_are_not_rounded_when_read() -> None:
    raw = np.array([123_456_789], "i4")
    assert Packing("i4", fill=-1).unpack(raw)[0] == 123_456_789
    assert Packing("f8").unpack(np.array([1 / 3]))[0] == 1 / 3
    assert KELVIN.unpack(np.array([1], "i2")).dtype == "f4"


def test_small_steps_far_from_zero_are_read_as_doubles() -> None:
    fine = Packing("i2", 1e-6, 300.0)
    raw = np.array([0, 1, 2], "i2")
    assert fine.unpack(raw).dtype == "f8"
    assert fine.pack(fine.unpack(raw), "x").tolist() == [0, 1, 2]


def test_the_codes_never_written_and_failed_belong_to_the_engine() -> None:
    state = flag_variable("state", "state", {2: "valid"})
    assert state.flags == ENGINE_FLAGS | {2: "valid"}
    assert state.packing.zarr_fill == 0
    with pytest.raises(DeclarationError, match="belong to the engine"):
        flag_variable("state", "state", {1: "valid"})


# --- content digests -----------------------------------------------------------------------------


@given(FLOATS)
def test_a_digest_is_independent_of_byte_order_and_memory_layout(values: np.ndarray) -> None:
    digest = content_digest({"x": values})
    assert content_digest({"x": values.astype(">f8")}) == digest
    assert content_digest({"x": np.asfortranarray(values)}) == digest
    assert content_digest({"x": np.repeat(values, 2, axis=0)[::2]}) == digest


def test_a_digest_knows_one_zero_and_one_nan() -> None:
    odd_nan = np.array([0x7FF8000000000001, 0xFFF8000000000000], "u8").view("f8")
    digest = content_digest({"x": np.array([0.0, np.nan, np.nan])})
    assert content_digest({"x": np.array([-0.0, *odd_nan])}) == digest


def test_a_digest_leaves_its_input_alone() -> None:
    values = np.array([-0.0, np.nan])
    content_digest({"x": values})
    assert np.signbit(values[0])


@given(hnp.arrays("i2", st.integers(1, 30)), st.data())
def test_a_digest_feels_every_single_value(values: np.ndarray, data: st.DataObject) -> None:
    other = values.copy()
    other[data.draw(st.integers(0, len(values) - 1))] ^= 1
    assert content_digest({"x": other}) != content_digest({"x": values})


def test_a_digest_feels_name_dtype_shape_and_company() -> None:
    zeros = np.zeros((2, 3), "i2")
    variants = [
        {"x": zeros},
        {"y": zeros},
        {"x": zeros.astype("u2")},
        {"x": zeros.reshape(3, 2)},
        {"x": zeros, "y": zeros},
        {"x": np.zeros((2, 4), "i2")},
    ]
    assert len({content_digest(arrays) for arrays in variants}) == len(variants)


def test_a_digest_does_not_depend_on_the_order_of_names() -> None:
    one, two = np.array([1]), np.array([2])
    assert content_digest({"a": one, "b": two}) == content_digest({"b": two, "a": one})
