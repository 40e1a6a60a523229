"""Stages with a network: what is kept, what is fed, what is refused. The nets are small."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from fluxengine.errors import ConfigError, RunFailed
from fluxengine.key import code_digests, options_of, weights_of
from fluxkernels.bulk import bulk_flux
from fluxkernels.nets.cards import ErrorModel
from fluxkernels.thermodynamics import saturation_specific_humidity
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.closure import Closure
from fluxrecipes.near_surface import (
    NOMINAL_HOURS,
    clock,
    from_sea,
    local_hours,
    relative_to_sea,
    sea_saturation,
)
from fluxrecipes.other_pass import same_day
from fluxrecipes.products.deepflux import Options, Weights, filled
from fluxrecipes.stages.correct import CorrectFluxes, CorrectWind
from fluxrecipes.stages.fill_by_network import FillByGDCM
from fluxrecipes.stages.flux_errors import WIND_ERRORS, ErrorsOfFluxes, of_fluxes
from fluxrecipes.stages.fluxes import BulkFlux
from fluxrecipes.stages.network import WrongWeights
from fluxrecipes.stages.retrieve_by_network import RetrieveByMPFNet
from fluxrecipes.standard_errors import error_of
from fluxrecipes.training import scenes
from fluxrecipes.training.archive import Fields

NAN = np.nan
LAT, LON = np.arange(-56.25, 60, 7.5), np.arange(7.5, 360, 15)
CELLS = (len(LAT), len(LON))
MICROWAVE = tuple(v.name for v in cf.MICROWAVE)
ORBITS = ["ascending", "descending"]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def field(values, time=None):
    """Shape (time, orbit, lat, lon), or without orbit."""
    values = np.asarray(values)
    first = np.datetime64("2000-01-01", "ns")
    stamps = first + np.arange(len(values)) * np.timedelta64(1, "D")
    coords = {"time": stamps if time is None else time}
    if values.ndim == 4:
        coords["orbit"] = ORBITS
    coords |= {"lat": LAT, "lon": LON}
    return xr.DataArray(values, coords, tuple(coords))


def passes(number: int, seed: int = 0) -> dict[str, xr.DataArray]:
    """Days with gaps: as stored and unpacked, with every state there is."""
    rng = np.random.default_rng(seed)
    made = {}
    shape = (number, 2, *CELLS)
    codes = [cf.OBSERVED, cf.NO_OBSERVATION, cf.NO_RETRIEVAL, cf.COAST, cf.LAND, cf.SEA_ICE, 1]
    states = rng.choice(np.array(codes, "u1"), shape, p=[0.6, 0.2, 0.04, 0.04, 0.06, 0.04, 0.02])
    states[rng.random(shape) < 0.05] = cf.REANALYSIS
    there = np.isin(states, (cf.OBSERVED, cf.REANALYSIS))
    for variable in cf.MICROWAVE:
        low, high = variable.valid_range
        values = np.where(there, rng.uniform(max(low, 0), high / 4, shape), NAN)
        if variable is cf.rain_rate:
            values[rng.random(shape) < 0.7] *= 0
        packing = variable.packing
        made[variable.name] = field(packing.unpack(packing.pack(values, variable.name)))
        made[f"{variable.name}_state"] = field(states.copy())
    sst = rng.uniform(272, 303, (number, *CELLS)).astype("f4")
    return made | {"sea_surface_temperature": field(sst)}


def part(arrays, *span):
    return {name: values.isel(time=slice(*span)) for name, values in arrays.items()}


class Net:
    """In a Predictor's place: remembers what it is fed, and gives what `answer` makes of it."""

    def __init__(self, answer):
        self.answer, self.fed = answer, []

    def __call__(self, net, **options):
        return self.run

    def run(self, values, masks, wanted=None):
        self.fed += zip(values.numpy(), masks.numpy(), strict=True)
        made = self.answer(values, masks)
        if wanted is None:
            return made
        return tuple(torch.where(wanted.any(dim=0), one, torch.nan) for one in made)


@pytest.fixture
def fake(monkeypatch):
    def put(answer):
        net = Net(answer)
        monkeypatch.setattr("fluxkernels.nets.predict.Predictor", net)
        return net

    return put


# --- filling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("both", [False, True])
def test_what_was_observed_is_stored_as_it_was_and_only_gaps_are_filled(gdcm_file, both):
    arrays = passes(4)
    stage = FillByGDCM(gdcm_file(3, 3, both))
    made = stage.load()(arrays)
    assert set(made) == {v.name for v in stage.outputs}
    for variable in cf.MICROWAVE:
        name, packing = variable.name, variable.packing
        states = arrays[f"{name}_state"].values
        gap = np.isin(states, (cf.NO_OBSERVATION, cf.NO_RETRIEVAL, cf.COAST))
        raw, before = (packing.pack(of[name].values, name) for of in (made, arrays))
        np.testing.assert_array_equal(raw[~gap], before[~gap])
        assert (raw[gap] != packing.fill).all()
        filled = made[name].values[gap]
        low, high = variable.valid_range
        assert filled.min() >= low and filled.max() <= high
        assert np.ptp(filled) > 0 or variable is cf.rain_rate  # which this net gives below zero
        told = made[f"{name}_state"].values
        assert (told[gap] == cf.COMPLETED).all()
        np.testing.assert_array_equal(told[~gap], states[~gap])


@pytest.mark.parametrize("window", [(2, 0), (1, 1), (0, 2)])
def test_every_day_of_the_window_is_the_day_it_should_be(gdcm_file, fake, window):
    """A net that gives back the day at one place of its window shows which day stands there."""
    arrays = passes(6)
    before, after = window
    for place in range(before + 1 + after):
        fake(lambda values, masks, place=place: (values[:, place, :5],))
        made = FillByGDCM(gdcm_file(*window), causal=window[1] == 0).load()(arrays)
        for quantity in networks.MICROWAVE:
            given, states = arrays[quantity.name], arrays[f"{quantity.name}_state"]
            there = given.reindex(time=given["time"] + np.timedelta64(place - before, "D"))
            expected = np.where(np.isfinite(there), there, quantity.offset)  # what 0 scaled means
            gap = np.isin(states, (cf.NO_OBSERVATION, cf.NO_RETRIEVAL, cf.COAST))
            np.testing.assert_allclose(
                made[quantity.name].values[gap], expected[gap], rtol=1e-5, atol=1e-5
            )


def test_the_net_is_told_states_rain_sst_and_the_other_pass(gdcm_file, fake):
    arrays = passes(3)
    name = "water_vapour"
    arrays[f"{name}_state"].values[1, 0, 0, :3] = cf.OBSERVED, cf.REANALYSIS, cf.INTERPOLATED
    arrays[name].values[1, 0, 0, :3] = 20.0, 30.0, 40.0
    arrays[f"{name}_state"].values[1, 0, 1, 0] = cf.NO_OBSERVATION  # so that there is a gap
    net = fake(lambda values, masks: (values[:, 1, 6:],))
    made = FillByGDCM(gdcm_file(1, 1, True)).load()(arrays)
    assert len(net.fed) == 6
    values, masks = net.fed[2]  # the second day's ascending pass
    assert values.shape == (3, 11, *CELLS) and values.dtype == np.float32
    assert masks[1, 1, 0, :3].tolist() == [True, True, False]
    assert values[1, 1, 0, :3] == pytest.approx([-0.5, 0.125, 0.0])
    rain = arrays["rain_rate"].values[1, 0]
    np.testing.assert_array_equal(values[1, 4][masks[1, 4]], (rain > 0)[np.isfinite(rain)])
    sst = arrays["sea_surface_temperature"].values
    np.testing.assert_allclose(values[:, 5], (sst - 291.0) / 9.0, atol=1e-5)
    wind = arrays["wind_speed"].values
    other = np.where(same_day(0, LON), wind[1, 1], wind[0, 1])
    gap = made["wind_speed_state"].values[1, 0] == cf.COMPLETED
    both = gap & np.isfinite(other)
    np.testing.assert_allclose(made["wind_speed"].values[1, 0][both], other[both], rtol=1e-5)


def test_beyond_the_record_nothing_is_known(gdcm_file, fake):
    net = fake(lambda values, masks: (values[:, 0, :5],))
    FillByGDCM(gdcm_file(1, 1)).load()(passes(2))
    assert [mask[0].any() for _, mask in net.fed] == [False, False, True, True]
    assert [mask[2].any() for _, mask in net.fed] == [True, True, False, False]


def test_sst_of_fewer_days_is_unknown_on_the_others(gdcm_file, fake):
    arrays = passes(3)
    arrays["sea_surface_temperature"] = arrays["sea_surface_temperature"].isel(time=slice(1, 3))
    net = fake(lambda values, masks: (values[:, 0, :5],))
    FillByGDCM(gdcm_file(2, 0), causal=True).load()(arrays)
    assert [mask[2, 5].any() for _, mask in net.fed] == [False, False, True, True, True, True]


def test_blocks_with_a_halo_equal_the_whole(gdcm_file):
    arrays, stage = passes(9), FillByGDCM(gdcm_file(2, 1))
    run = stage.load()
    whole = run(arrays)
    halo = stage.halo("time")
    assert halo == (2, 1)
    for start, stop in ((0, 4), (4, 7), (7, 9)):
        first, last = max(start - halo[0], 0), min(stop + halo[1], 9)
        made = run(part(arrays, first, last))
        for name, values in whole.items():
            own = made[name].values[start - first : stop - first]
            np.testing.assert_array_equal(own, values.values[start:stop])


def test_days_of_the_halo_are_seen_and_not_filled(gdcm_file, fake):
    own = np.array([False, False, True, True, False])
    arrays = {
        name: values.assign_coords(own_time=("time", own)) for name, values in passes(5).items()
    }
    net = fake(lambda values, masks: (values[:, 0, :5],))
    made = FillByGDCM(gdcm_file(2, 1)).load()(arrays)
    assert len(net.fed) == 2 * own.sum()
    assert all(mask.any(axis=(1, 2, 3)).all() for _, mask in net.fed)
    completed = (made["wind_speed_state"] == cf.COMPLETED).any(("orbit", "lat", "lon"))
    np.testing.assert_array_equal(completed, own)


def test_the_globe_may_begin_anywhere(gdcm_file):
    """By cells of the coarsest level."""
    arrays, run = passes(3), FillByGDCM(gdcm_file(1, 1)).load()
    turned = {n: v.copy(data=np.roll(v.values, 8, axis=-1)) for n, v in arrays.items()}
    plain, other = run(arrays), run(turned)
    for name in plain:
        np.testing.assert_allclose(
            np.roll(plain[name].values, 8, axis=-1), other[name].values, atol=1e-4
        )


def test_a_net_that_knows_the_truth_leaves_no_seam(gdcm_file, fake):
    """Scaled, filled, unscaled and put beside what was observed, it is one field again."""
    east, north = np.deg2rad(LON), np.deg2rad(LAT)[:, None]
    truth = 9.0 + 3 * np.sin(2 * east) + 2 * np.cos(3 * north)
    arrays = passes(2)
    wind, state = arrays["wind_speed"], arrays["wind_speed_state"]
    state.values[:] = cf.OBSERVED
    state.values[..., 4:10] = cf.NO_OBSERVATION
    wind.values[:] = np.where(state == cf.OBSERVED, truth, NAN)
    for bias, seam in ((0.0, False), (4.0, True)):
        right = torch.tensor((truth + bias - 7.5) / 4.0).float()
        fake(lambda values, masks, right=right: (right.expand(len(values), 5, *CELLS),))
        made = FillByGDCM(gdcm_file(1, 1)).load()(arrays)["wind_speed"]
        steps = np.abs(np.diff(made.values, axis=-1))
        within = np.abs(np.diff(truth, axis=-1)).max()
        assert (steps[..., [3, 9]].max() > 1.2 * within) == seam


def test_half_a_globe_is_refused(gdcm_file):
    arrays = {n: v.isel(lon=slice(0, 16)) for n, v in passes(2).items()}
    with pytest.raises(ConfigError, match="240 degrees"):
        FillByGDCM(gdcm_file(1, 1)).load()(arrays)


# --- which weights --------------------------------------------------------------------------------


def refused(stage, match, error=WrongWeights):
    """By what stands before the tensors, and so before a block is made."""
    with pytest.raises(error, match=match):
        _ = stage.head
    with pytest.raises(error, match=match):
        stage.load()


def test_other_weights_are_refused_by_name(gdcm_file, mpfnet_file, tmp_path):
    gaps, retrieval = gdcm_file(), mpfnet_file(networks.RETRIEVAL)
    assert FillByGDCM(gdcm_file(6, 0), causal=True).window == (6, 0)
    refused(FillByGDCM(retrieval), "of MPFNet, not of GDCM")
    refused(RetrieveByMPFNet(gaps), "of GDCM, not of MPFNet")
    refused(RetrieveByMPFNet(mpfnet_file(networks.CORRECTION)), "another vocabulary: predictors")
    refused(CorrectWind(mpfnet_file(networks.CORRECTION)), "another vocabulary: outputs")
    refused(FillByGDCM(gdcm_file(6, 0)), "6 before and 0 after it, and days around it")
    refused(FillByGDCM(gaps, causal=True), "1 before and 1 after it, and days before it alone")
    refused(FillByGDCM(gaps, other_pass=True), "another vocabulary: predictors")
    refused(FillByGDCM(gdcm_file(1, 1, True), other_pass=False), "another vocabulary: predictors")
    assert FillByGDCM(gdcm_file(1, 1, True), other_pass=True).head
    refused(FillByGDCM(gaps, ("amsr2",)), "trained for f17, and these passes are of amsr2")
    assert FillByGDCM(gaps, ("f16", "f17")).head
    assert FillByGDCM(gdcm_file(sensor="any"), ("amsr2",)).head
    refused(FillByGDCM(gdcm_file(orbit="ascending")), "ascending passes alone")
    wider = replace(networks.GAPS.predictors[0], scale=5.0)
    other = replace(networks.GAPS, predictors=(wider, *networks.GAPS.predictors[1:]))
    refused(FillByGDCM(gdcm_file(vocabulary=other)), "scale=5.0")
    refused(FillByGDCM(Path("no-such.safetensors")), "No such file", ConfigError)
    refused(FillByGDCM(gdcm_file(), variables=(cf.wind_speed,)), "do not complete wind_speed")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (pickle.dumps({"weight": 1}), "pickle"),
        (b"PK\x03\x04" + bytes(30), "pickle"),
        (b"", "no whole file"),
        (b"\x02\0\0\0\0\0\0\0{}", "no whole file"),
        (b"\xff" * 8 + b"{", "no whole file"),
    ],
)
def test_what_is_no_weights_is_refused(tmp_path, content, match):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    refused(FillByGDCM(path), match)


def test_a_flipped_bit_of_a_tensor_is_found_when_it_is_loaded(gdcm_file):
    path = gdcm_file()
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(WrongWeights, match="not what was saved"):
        FillByGDCM(path).load()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_stops_the_run(gdcm_file):
    """It is not silently done without: what is published stays as it is."""
    with pytest.raises(RunFailed, match="no device 'cuda'"):
        FillByGDCM(gdcm_file(), device="cuda").load()


def test_pytorch_compiles_a_network_where_it_is_asked_to(gdcm_file, monkeypatch):
    nets = []
    monkeypatch.setattr(torch, "compile", lambda net: nets.append(net) or net)
    FillByGDCM(gdcm_file()).load()
    assert not nets
    own = Weights(fill=gdcm_file())
    (stage,) = filled(Options(fill="gdcm-compact-centred", weights=own, compiled=True)).stages
    stage.load()
    assert [type(net).__name__ for net in nets] == ["GDCM"]


@pytest.mark.parametrize("window", [(1, 1), (2, 2)])
def test_days_are_read_as_the_weights_say(gdcm_file, window):
    own = Weights(fill=gdcm_file(*window))
    (stage,) = filled(Options(fill="gdcm-compact-centred", weights=own)).stages
    assert stage.halo("time") == window


def test_weights_and_precision_enter_the_key_and_device_and_batch_do_not(gdcm_file):
    path = gdcm_file()

    def product(**choices):
        own = {"fill": path}
        return filled(
            Options(sensors=("f17",), fill="gdcm-compact-centred", weights=own, **choices)
        )

    plain = product()
    assert options_of(product(device="cuda")) == options_of(plain)
    assert options_of(product(compiled=True)) == options_of(plain)
    assert options_of(product(precision="bf16")) != options_of(plain)
    digest = weights_of(plain)
    gdcm_file(period="2016")
    assert weights_of(product()) != digest
    names = {name.removeprefix("fluxkernels.nets.") for name in code_digests(plain)}
    assert {"gdcm", "layers", "predict", "weights"} <= names


MEASURE = """
import sys
from pathlib import Path
import numpy as np
import xarray as xr
from fluxrecipes import vocabulary as cf
from fluxrecipes.stages.fill_by_network import FillByGDCM

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))

stage = FillByGDCM(Path(sys.argv[1]), batch=int(sys.argv[2]))
coords = {"time": np.arange(10), "orbit": [0, 1],
          "lat": np.arange(-59.5, 60), "lon": np.arange(0.5, 360)}
arrays = {}
for variable in cf.MICROWAVE:
    values = np.full((10, 2, 120, 360), 0.5, "f4")
    values[-2:, :, 40:60] = np.nan
    state = np.where(np.isnan(values), cf.NO_OBSERVATION, cf.OBSERVED).astype("u1")
    arrays[variable.name] = xr.DataArray(values, coords, tuple(coords))
    arrays[f"{variable.name}_state"] = xr.DataArray(state, coords, tuple(coords))
sst = np.full((10, 120, 360), 290, "f4")
there = {name: c for name, c in coords.items() if name != "orbit"}
arrays["sea_surface_temperature"] = xr.DataArray(sst, there, tuple(there))
shapes = {name: values.shape for name, values in arrays.items()}
made = sum(8 * 10 * 2 * 120 * 360 for _ in stage.outputs)
planned = stage.kept + stage.memory(shapes) + made
before = status("VmRSS:")
Path("/proc/self/clear_refs").write_text("5")
stage.load()(arrays)
print(planned, status("VmHWM:") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("batch", [1, 4])
def test_memory_is_not_more_than_planned(tmp_path, batch):
    """Of the compact net on the whole grid, in a process of its own."""
    from fluxkernels.nets import weights
    from fluxkernels.nets.gdcm import COMPACT_CENTRED, GDCM
    from fluxkernels.nets.weights import ModelCard

    path = tmp_path / "compact.safetensors"
    card = ModelCard("noise", "none", {}, "0", 1, "any", "both", networks.GAPS)
    weights.save(path, GDCM(replace(COMPACT_CENTRED, variables=5)), card)
    command = [sys.executable, "-c", MEASURE, str(path), str(batch)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    planned, measured = map(int, told.split())
    assert measured <= planned < 3 * measured


# --- retrieval ------------------------------------------------------------------------------------


def completed(number=2, seed=3):
    arrays = passes(number, seed)
    rng = np.random.default_rng(seed)
    for variable in cf.MICROWAVE:
        values, state = arrays[variable.name].values, arrays[f"{variable.name}_state"].values
        gap = np.isin(state, (cf.NO_OBSERVATION, cf.NO_RETRIEVAL, cf.COAST))
        values[gap] = rng.uniform(0.0, 3.0, int(gap.sum()))
        state[gap] = cf.COMPLETED
    hours = rng.uniform(0, 24, (number, 2, *CELLS))
    hours[rng.random(hours.shape) < 0.3] = NAN
    return arrays | {"pass_time": field(hours)}


def gaussian(means, spreads):
    """A net that gives the same everywhere, in scaled units."""

    def answer(values, masks):
        shape = (len(values), len(means), *values.shape[-2:])
        sides = (torch.tensor(side)[None, :, None, None] for side in (means, spreads))
        return tuple(side.expand(shape) for side in sides)

    return answer


def test_air_is_made_of_the_sea_and_what_the_net_says(mpfnet_file, fake):
    arrays = completed()
    arrays["cloud_liquid_water"].values[0, 0, 5] = NAN
    arrays["wind_speed"].values[0, 0, 6] = NAN
    fake(gaussian([0.5, 1.0], [0.0, 2 * np.log(2.0)]))
    stage = RetrieveByMPFNet(mpfnet_file(networks.RETRIEVAL))
    made = {n: v.values for n, v in stage.load()(arrays).items()}
    sst = np.broadcast_to(arrays["sea_surface_temperature"].values[:, None], (2, 2, *CELLS))
    names = ("wind_speed", "water_vapour")
    there = np.logical_and.reduce([np.isfinite(arrays[name].values) for name in names])
    assert there[0, 0, 5].any() and not there[0, 0, 6].any()
    for values in made.values():
        np.testing.assert_array_equal(np.isfinite(values), there)
    np.testing.assert_allclose(made["air_temperature"][there], sst[there], atol=1e-6)  # -1 + 0.5·2
    expected = sea_saturation(sst) - 5.5e-3
    wet = saturation_specific_humidity(sst.astype("f8"), 101_300.0)
    np.testing.assert_allclose(
        made["specific_humidity"][there], np.clip(expected, 0, wet)[there], atol=1e-8
    )
    for error in ("standard_error", "standard_error_systematic"):  # nothing is known of its parts
        np.testing.assert_allclose(made[f"air_temperature_{error}"][there], 2.0)
        np.testing.assert_allclose(made[f"specific_humidity_{error}"][there], 4e-3, rtol=1e-6)


def test_errors_are_calibrated_and_split_as_the_card_says(mpfnet_file, fake):
    """Where they are used, and each output's own."""
    models = {
        "air_minus_sea_temperature": ErrorModel(1.5, 0.25, 2.0, 300.0),
        "humidity_deficit": ErrorModel(0.5),
    }
    path = mpfnet_file(networks.RETRIEVAL, history=4, errors=models)
    fake(gaussian([0.5, 1.0], [0.0, 2 * np.log(2.0)]))
    made = RetrieveByMPFNet(path).load()(completed(5))
    there = np.isfinite(made["air_temperature"].values)
    for name, expected in (
        ("air_temperature_standard_error", 3.0),
        ("air_temperature_standard_error_systematic", 1.5),
        ("specific_humidity_standard_error", 2e-3),
        ("specific_humidity_standard_error_systematic", 2e-3),
    ):
        np.testing.assert_array_equal(np.isfinite(made[name].values), there)
        np.testing.assert_allclose(made[name].values[there], expected, rtol=1e-6)
    fake(gaussian([0.5, 1.0], [2 * np.log(30.0), 0.0]))  # more than can be stored
    made = RetrieveByMPFNet(path).load()(completed(5))
    most = error_of(cf.air_temperature).valid_range[1]
    np.testing.assert_allclose(made["air_temperature_standard_error"].values[there], most)
    part = made["air_temperature_standard_error_systematic"].values[there]
    np.testing.assert_allclose(part, most / 2)


def test_air_is_never_supersaturated_as_it_is_stored(mpfnet_file, fake):
    fake(gaussian([-1.0, -6.0], [0.0, 0.0]))
    made = RetrieveByMPFNet(mpfnet_file(networks.RETRIEVAL)).load()(completed())
    stored = [
        v.packing.unpack(v.packing.pack(made[v.name].values, v.name)) for v in cf.NEAR_SURFACE
    ]
    air, humidity = stored
    limit = saturation_specific_humidity(air.astype("f8"), 101_300.0)
    there = np.isfinite(humidity)
    assert (humidity[there] <= limit[there]).all()
    assert (humidity[there] > 0.99 * limit[there]).all()


def test_the_net_is_told_the_pass(mpfnet_file, fake):
    arrays = completed()
    net = fake(gaussian([0.0, 0.0], [0.0, 0.0]))
    RetrieveByMPFNet(mpfnet_file(networks.RETRIEVAL)).load()(arrays)
    values, masks = net.fed[3]  # the second day's descending pass
    assert values.shape == (1, 9, *CELLS)
    hours = local_hours(arrays["pass_time"].values, LON)[1, 1]
    np.testing.assert_allclose(values[0, 5:7], clock(hours), atol=1e-6)
    state = arrays["wind_speed_state"].values[1, 1]
    there = (state >= cf.OBSERVED) & (state <= cf.LAST_VALID)
    np.testing.assert_array_equal(masks[0, 7], there)
    np.testing.assert_array_equal(values[0, 7][there], (state != cf.OBSERVED)[there])


def test_history_is_a_halo_and_the_last_day_is_the_pass_itself(mpfnet_file, fake):
    stage = RetrieveByMPFNet(mpfnet_file(networks.RETRIEVAL, history=3))
    assert stage.halo("time") == (2, 0)
    assert RetrieveByMPFNet(mpfnet_file(networks.RETRIEVAL)).halo("time") == (0, 0)
    arrays, net = completed(4), fake(gaussian([0.0, 0.0], [0.0, 0.0]))
    stage.load()(arrays)
    values, masks = net.fed[2 * 3]
    wind = arrays["wind_speed"].values[1:4, 0]
    known = np.isfinite(wind)
    np.testing.assert_array_equal(masks[:, 0], known)
    np.testing.assert_allclose(values[:, 0][known], ((wind - 7.5) / 4.0)[known], atol=1e-5)
    assert [mask.any() for mask in net.fed[0][1]] == [False, False, True]


def test_retrieval_in_blocks_equals_the_whole(mpfnet_file):
    arrays = completed(5)
    run = RetrieveByMPFNet(mpfnet_file(networks.RETRIEVAL, history=2)).load()
    whole, made = run(arrays), run(part(arrays, 2, 5))
    for name, values in whole.items():
        np.testing.assert_array_equal(made[name].values[1:], values.values[3:])
    assert np.nanstd(whole["air_temperature"].values) > 0


def test_another_grid_is_refused(mpfnet_file):
    stage = RetrieveByMPFNet(mpfnet_file(networks.RETRIEVAL, north=90.0))
    with pytest.raises(ConfigError, match="-60 to 60 degrees north, the network was made for -60"):
        stage.load()(completed())


def test_a_grid_that_begins_elsewhere_is_refused(mpfnet_file):
    """The net would take each cell for one on the other side of the globe."""
    arrays = completed()
    stage = RetrieveByMPFNet(mpfnet_file(networks.RETRIEVAL))
    for turn in (360.0, -360.0):
        stage.load()({n: v.assign_coords(lon=v["lon"] + turn) for n, v in arrays.items()})
    rolled = {n: v.roll(lon=12, roll_coords=True) for n, v in arrays.items()}
    rolled = {n: v.assign_coords(lon=v["lon"] - 360 * (v["lon"] > 180)) for n, v in rolled.items()}
    with pytest.raises(ConfigError, match=r"begins at -180 degrees east, .* begins at 0"):
        stage.load()(rolled)


@given(st.floats(271.5, 304), st.floats(-8, 3), st.floats(0.3, 0.95))
def test_air_comes_back_from_what_networks_know_of_it(sst, warmth, relative):
    humidity = relative * float(saturation_specific_humidity(sst + warmth, 101_300.0))
    told = relative_to_sea(sst, sst + warmth, humidity)
    assert told[0] == pytest.approx(warmth)
    air, back = from_sea(sst, *told)
    assert air == pytest.approx(sst + warmth) and back == pytest.approx(humidity)


def test_local_hours_are_those_of_the_pass_where_a_cell_was_not_seen():
    times = np.full((2, 2, 1, 4), NAN)
    longitude = np.array([0.0, 90.0, 180.0, 270.0])
    times[0, 0, 0, :2] = 23.5, 18.5  # 23:30 and 0:30 local time: midnight on the mean
    hours = local_hours(times, longitude)[:, :, 0]
    np.testing.assert_allclose(hours[0, 0, :2], [23.5, 0.5])
    assert np.cos(hours[0, 0, 2:] / 24 * 2 * np.pi) == pytest.approx(1.0)
    np.testing.assert_allclose(hours[0, 1], NOMINAL_HOURS[1])
    np.testing.assert_allclose(hours[1, 0], NOMINAL_HOURS[0])


# --- fluxes ---------------------------------------------------------------------------------------


def with_fluxes():
    arrays = completed()
    sst = np.broadcast_to(arrays["sea_surface_temperature"].values[:, None], (2, 2, *CELLS))
    air, humidity = from_sea(sst, np.full(sst.shape, -1.5), np.full(sst.shape, 3e-3))
    arrays |= {"air_temperature": field(air), "specific_humidity": field(humidity)}
    return arrays | dict(BulkFlux().load()(arrays))


def test_corrected_fluxes_take_the_plain_names_and_bulk_ones_are_kept(mpfnet_file, fake):
    arrays = with_fluxes()
    net = fake(gaussian([0.5, -0.1], [0.0, 0.0]))
    models = {"latent_heat_flux_correction": ErrorModel(0.8, 0.36, 1.0, 100.0)}
    path = mpfnet_file(networks.CORRECTION, errors=models)
    made = CorrectFluxes(path).load()(arrays)
    plain = CorrectFluxes(path, tells_errors=False)
    assert set(plain.load()(arrays)) == {v.name for v in (*cf.BULK_FLUXES, *cf.FLUXES)}
    for name, lacking, error, share in (
        ("sensible", 10.0, 20.0, 1.0),
        ("latent", -5.0, 40.0, 0.6),
    ):
        bulk = arrays[f"{name}_heat_flux"].values
        np.testing.assert_array_equal(made[f"{name}_heat_flux_bulk"].values, bulk)
        np.testing.assert_allclose(made[f"{name}_heat_flux"].values, bulk + lacking, atol=1e-3)
        whole = made[f"{name}_heat_flux_standard_error"].values
        part = made[f"{name}_heat_flux_standard_error_systematic"].values
        np.testing.assert_allclose(whole, np.where(np.isfinite(bulk), error, NAN), rtol=1e-5)
        np.testing.assert_allclose(part, whole * share, rtol=1e-5)
    values, masks = net.fed[0]
    seen = masks[0, 2]
    assert values[0, 2][seen] == pytest.approx(-0.25, abs=1e-5)  # 1.5 K colder than the sea
    latent = arrays["latent_heat_flux"].values[0, 0]
    known = np.isfinite(latent)
    np.testing.assert_allclose(values[0, 0][known], (latent[known] - 100) / 70, atol=1e-5)


def test_corrected_wind_leaves_the_retrieved_one_and_never_blows_below_zero(mpfnet_file, fake):
    arrays = with_fluxes()
    fake(gaussian([-1.0], [0.0]))
    made = CorrectWind(mpfnet_file(networks.WIND_CORRECTION)).load()(arrays)
    wind = arrays["wind_speed"].values
    np.testing.assert_allclose(
        made["wind_speed_corrected"].values, np.clip(wind - 1.5, 0, None), atol=1e-5
    )
    assert "wind_speed" not in made
    bulk = arrays["latent_heat_flux"].values
    np.testing.assert_array_equal(made["latent_heat_flux_bulk"].values, bulk)


def test_a_correction_is_fed_the_cells_that_training_saw(mpfnet_file, fake):
    """Those with a flux: of the others wind and SST are hidden too."""
    lacking = 3, slice(4, 9)
    for path, stage in (
        (mpfnet_file(networks.CORRECTION), CorrectFluxes),
        (mpfnet_file(networks.WIND_CORRECTION), CorrectWind),
    ):
        arrays = with_fluxes()
        there = np.isfinite(arrays["latent_heat_flux"].values)
        there[:, :, *lacking] = False
        for v in (*cf.FLUXES, *cf.NEAR_SURFACE):
            arrays[v.name] = arrays[v.name].copy(data=np.where(there, arrays[v.name].values, NAN))
        assert np.isfinite(arrays["wind_speed"].values)[~there].any()
        net = fake(gaussian([0.5] * len(stage(path).head.card.vocabulary.outputs), [0.0]))
        made = stage(path).load()(arrays)
        read = {"passes": fields_of(arrays, there), "filled": states_of(arrays)}
        bulk = {v.name: v.name for v in cf.FLUXES}
        seen = scenes._of_fluxes(bulk, read)
        quantities = stage(path).head.card.vocabulary.predictors
        for number, (_, masks) in enumerate(net.fed):
            day, orbit = divmod(number, 2)
            for at, quantity in enumerate(quantities):
                if quantity.name in seen:
                    known = np.isfinite(seen[quantity.name][day, orbit])
                    np.testing.assert_array_equal(masks[0, at], known, err_msg=quantity.name)
        if stage is CorrectWind:
            known = np.isfinite(made["wind_speed_corrected"].values)
            np.testing.assert_array_equal(known, there)


def fields_of(arrays, there):
    """As training reads passes: of all variables what the state of the flux tells."""
    names = ("sea_surface_temperature", *(v.name for v in (*cf.NEAR_SURFACE, cf.wind_speed)))
    names = (*names, *(v.name for v in cf.FLUXES))
    whole = [np.broadcast_to(sst_on_passes(arrays[n]), there.shape) for n in names]
    states = np.where(there, np.uint8(cf.OBSERVED), np.uint8(cf.NO_OBSERVATION))
    values = np.where(there, np.stack(whole), NAN).astype("f4")
    return Fields(names, values, np.broadcast_to(states, values.shape))


def states_of(arrays):
    """As training reads filled passes: wind and vapour by their own states."""
    names = ("wind_speed", "water_vapour")
    states = np.stack([arrays[f"{n}_state"].values for n in names])
    return Fields(names, np.stack([arrays[n].values for n in names]).astype("f4"), states)


def sst_on_passes(values):
    return values.values if values.ndim == 4 else values.values[:, None]


WARM = {"sea_surface_temperature": 299.0, "air_temperature": 297.5, "specific_humidity": 0.0145}


def of_errors(air, humidity):
    """A standard error and its systematic part of each, by name."""
    names = [f"{v.name}_standard_error" for v in cf.NEAR_SURFACE]
    pairs = zip(names, (air, humidity), strict=True)
    return {
        f"{n}{end}": v for n, two in pairs for end, v in zip(("", "_systematic"), two, strict=True)
    }


@pytest.mark.parametrize("state", [cf.OBSERVED, cf.COMPLETED])
def test_errors_of_fluxes_are_those_of_many_draws(state):
    """Their systematic parts, too, are those of draws with the systematic parts alone."""
    shape = (1, 2, *CELLS)
    full = {"wind_speed": 8.0} | WARM | of_errors((0.3, 0.2), (6e-4, 2e-4))
    arrays = {name: field(np.full(shape, value)) for name, value in full.items()}
    arrays["wind_speed_state"] = field(np.full(shape, state, "u1"))
    error, share = {at: told for at, *told in WIND_ERRORS}[state]
    lasting = error * np.sqrt(share)
    made = ErrorsOfFluxes().load()(arrays)
    row = int(np.abs(LAT - 3.75).argmin())
    for end, errors in (("", (error, 0.3, 6e-4)), ("_systematic", (lasting, 0.2, 2e-4))):
        rng = np.random.default_rng(0)
        draws = bulk_flux(
            np.abs(rng.normal(8.0, errors[0], 20_000)),
            np.full(20_000, 299.0),
            rng.normal(297.5, errors[1], 20_000),
            rng.normal(0.0145, errors[2], 20_000),
            latitude=3.75,
            wind_kind="neutral",
            outputs=("sensible", "latent"),
        )
        for name, sample in (("sensible", draws.sensible), ("latent", draws.latent)):
            told = made[f"{name}_heat_flux_standard_error{end}"].values[0, 0, row, 0]
            assert told == pytest.approx(np.std(sample), rel=0.05)


def test_errors_of_fluxes_are_missing_where_something_is_and_nowhere_else():
    shape = (1, 2, *CELLS)
    full = {"wind_speed": 8.0} | WARM | of_errors((0.3, 0.2), (6e-4, 2e-4))
    arrays = {name: field(np.full(shape, value)) for name, value in full.items()}
    arrays["wind_speed_state"] = field(np.full(shape, cf.OBSERVED, "u1"))
    whole = ErrorsOfFluxes().load()(arrays)
    land = np.zeros(shape, bool)
    land[..., 3:9], land[:, 1, 2] = True, True
    gone = arrays["air_temperature"].where(~land)
    for name, values in ErrorsOfFluxes().load()(arrays | {"air_temperature": gone}).items():
        expected = np.where(land, NAN, whole[name].values)
        np.testing.assert_allclose(values.values, expected, rtol=1e-6)


def test_a_wind_with_an_error_of_its_own_uses_that():
    shape = (1, 2, *CELLS)
    full = {"wind_speed_corrected": 8.0} | WARM | of_errors((0.0, 0.0), (0.0, 0.0))

    def of(error, part):
        stage = ErrorsOfFluxes(wind=cf.wind_speed_corrected, wind_errors=())
        name = "wind_speed_corrected_standard_error"
        given = full | {name: error, f"{name}_systematic": part}
        arrays = {name: field(np.full(shape, value)) for name, value in given.items()}
        made = stage.load()(arrays)
        ends = ("", "_systematic")
        return [made[f"latent_heat_flux_standard_error{end}"].values for end in ends]

    np.testing.assert_allclose(of(2.0, 1.0), [2 * of(1.0, 0.0)[0], of(1.0, 0.0)[0]])
    assert of(1.0, 0.0)[0].min() > 5 and not of(1.0, 0.0)[1].any()


def test_propagated_errors_last_as_long_as_the_longest_that_is_known():
    wind, air = ErrorModel(1.0, 0.1, 0.5, 200.0), ErrorModel(1.2, 0.3, 2.0, None)
    made = of_fluxes(wind, air, ErrorModel())
    assert (made.days, made.kilometres) == (2.0, None)  # a length not known may be the longest
    assert of_fluxes(wind, ErrorModel(), ErrorModel()).kilometres == 200.0
    unknown = of_fluxes(ErrorModel(), ErrorModel(), ErrorModel())
    assert (unknown.days, unknown.kilometres) == (None, None)
    assert unknown.found.count("not calibrated") == 3


def test_fluxes_that_do_not_follow_from_what_is_published_are_refused():
    arrays = {n: v.broadcast_like(with_fluxes()["wind_speed"]) for n, v in with_fluxes().items()}
    assert Closure(every=2)(arrays, ()) is None
    latent = arrays["latent_heat_flux"]
    spoilt = arrays | {"latent_heat_flux": latent.copy(data=latent.values * 1.02 + 2)}
    assert "latent_heat_flux does not follow" in str(Closure(every=2)(spoilt, ()))
    swapped = arrays | {"wind_speed": arrays["wind_speed"].isel(lon=slice(None, None, -1))}
    swapped["wind_speed"] = latent.copy(data=swapped["wind_speed"].values)
    assert "does not follow" in str(Closure(every=2)(swapped, ()))
