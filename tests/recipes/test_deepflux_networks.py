"""deepflux with networks: its datasets, what they say of themselves, and whole runs."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from datetime import date

import numpy as np
import pytest
import yaml

import fluxforge as ff
from fluxengine import registry
from fluxengine.declare import upstream_first
from fluxengine.errors import ConfigError
from fluxengine.store import Store, read_published
from fluxkernels.bulk import bulk_flux
from fluxkernels.nets.cards import ErrorModel
from fluxrecipes import networks
from fluxrecipes import vocabulary as cf
from fluxrecipes.nature import archive
from fluxrecipes.nature.files.table import Selection
from fluxrecipes.products import deepflux
from fluxrecipes.stages.network import WrongWeights

FIRST, LAST = date(2019, 1, 1), date(2019, 1, 2)
DATASETS = ["rss-f17", "deepflux-f17", "deepflux-merged", "oisst", "deepflux-sst"]
CHAIN = [*DATASETS, "deepflux-filled", "deepflux-passes", "deepflux"]


KNOWN = ErrorModel(1.1, 0.25, 2.0, 300.0, "calibrated on much")


@pytest.fixture(scope="module")
def own(gdcm_file, mpfnet_file):
    """Weights of one's own for each choice of an option."""
    return {
        "gdcm-compact": gdcm_file(6, 0),
        "gdcm-compact-centred": gdcm_file(3, 3),
        "gdcm-compact-both-passes": gdcm_file(3, 3, True),
        "mpfnet": mpfnet_file(networks.RETRIEVAL, errors={"air_minus_sea_temperature": KNOWN}),
        "mpfnet-correction": mpfnet_file(networks.CORRECTION),
        "wind": mpfnet_file(networks.WIND_CORRECTION, data="reports of 1992 to 2017."),
    }


@pytest.fixture(scope="module")
def chosen(own):
    """Options in the words of a run file."""

    def choose(fill="gdcm-compact", retrieve="mpfnet", correct="mpfnet", **others):
        correction = "mpfnet-correction" if correct == "mpfnet" else correct
        names = {"fill": fill, "retrieve": retrieve, "correct": correction}
        paths = {part: str(own[name]) for part, name in names.items() if name in own}
        plain = {"sensors": ["f17"], "fill": fill, "retrieve": retrieve, "correct": correct}
        return plain | {"weights": paths} | others

    return choose


def product(options):
    return registry.recipe("deepflux").product(options)


# --- declarations ---------------------------------------------------------------------------------


def test_the_whole_chain_is_the_default_and_says_what_it_was_trained_on():
    made = product({})
    names = {v.name for v in made.publishes}
    assert {"latent_heat_flux_bulk", "latent_heat_flux_standard_error"} <= names
    assert made.attrs["notice"].count("trained on a simulated world (seed 1)") == 3
    assert "Baseline" not in made.attrs["notice"]


def test_baselines_can_be_chosen_and_say_so():
    made = product({"fill": "interpolation", "retrieve": "regression", "correct": "none"})
    assert made.publishes[:7] == deepflux.PUBLISHED
    assert len(made.publishes) == 9
    assert made.attrs["notice"].count("Baseline") == 2
    assert "simulated" in made.attrs["notice"]


def test_every_combination_is_a_chain_that_publishes_what_it_makes(chosen, own):
    fills = ["interpolation", *(name for name in own if name.startswith("gdcm"))]
    choices = itertools.product(
        fills, ("regression", "mpfnet"), ("none", "mpfnet", "wind"), ("oisst", "satellite")
    )
    for fill, retrieve, correct, sst in choices:
        made = product(chosen(fill, retrieve, correct, sst=sst))
        names = {v.name for v in made.publishes}
        assert ("air_temperature_standard_error" in names) == (retrieve == "mpfnet")
        flux_error = retrieve == "mpfnet" or correct == "mpfnet"
        assert ("latent_heat_flux_standard_error" in names) == flux_error
        assert ("latent_heat_flux_bulk" in names) == (correct != "none")
        assert ("wind_speed_corrected" in names) == (correct == "wind")
        for variable in made.publishes:
            named = variable.attrs.get("ancillary_variables", "").split()
            errors = [f"{variable.name}_standard_error{end}" for end in ("", "_systematic")]
            assert named in ([], errors) and set(named) <= names
            assert {error in names for error in errors} == {bool(named)}
        chain = [d.name for d in upstream_first(made)]
        assert ("oisst" in chain) == (sst == "oisst")
        assert "deepflux-sst" in chain


@pytest.mark.parametrize("correct", ["none", "mpfnet"])
def test_errors_say_what_is_known_of_them(chosen, mpfnet_file, correct):
    models = {
        "air_minus_sea_temperature": ErrorModel(1.2, 0.3, 2.104, 412.3, "calibrated on 900"),
        "humidity_deficit": ErrorModel(found="not calibrated: few"),
    }
    path = mpfnet_file(networks.RETRIEVAL, history=7, errors=models)
    options = chosen(correct=correct)
    options["weights"]["retrieve"] = str(path)
    record = product(options)
    told = {v.name: v.attrs for v in record.publishes}
    for end in ("", "_systematic"):
        air = told[f"air_temperature_standard_error{end}"]
        assert air["calibration"] == "calibrated on 900"
        assert air["random_error_correlation_time_days"] == 2.1
        assert air["random_error_correlation_length_km"] == 412
        humidity = told[f"specific_humidity_standard_error{end}"]
        assert humidity["calibration"] == "not calibrated: few"
        assert "random_error_correlation_time_days" not in humidity
        flux = told[f"latent_heat_flux_standard_error{end}"]
        assert flux["random_error_correlation_time_days"] == 2.1
        assert "wind (assumed" in flux["calibration"]
    (mean,) = record.stages
    lasting = {variable.name: days for variable, days in mean.erring}
    assert lasting["air_temperature"] == 2.104 and lasting["specific_humidity"] is None
    assert lasting["latent_heat_flux"] == lasting["sensible_heat_flux"] == 2.104


def test_the_notice_says_what_each_network_was_trained_on(chosen):
    notice = product(chosen(correct="wind")).attrs["notice"]
    assert "Gaps are filled by a network (GDCM) trained on a simulated world (seed 1)." in notice
    assert "retrieved by a network (MPFNet) trained on a simulated world (seed 1)." in notice
    assert "Wind is corrected by a network (MPFNet) trained on reports of 1992 to 2017." in notice
    assert "Baseline" not in notice
    mixed = product(chosen("interpolation", correct="none")).attrs["notice"]
    assert mixed.startswith("Baseline: gaps") and "corrected" not in mixed


def test_wrong_weights_are_refused_before_a_plan(chosen, own):
    with pytest.raises(ConfigError, match="must be a whole path"):
        product(chosen(weights={"fill": "nets/mine.safetensors"}))
    with pytest.raises(ConfigError, match="No such file"):
        product(chosen(weights={"fill": "/no/such.safetensors"}))
    with pytest.raises(WrongWeights, match="of MPFNet, not of GDCM"):
        product(chosen(weights={"fill": str(own["mpfnet"])}))
    with pytest.raises(WrongWeights, match="3 before and 3 after it, and days before it alone"):
        product(chosen(weights={"fill": str(own["gdcm-compact-centred"])}))
    with pytest.raises(WrongWeights, match="trained for f17, and these passes are of amsr2"):
        product(chosen(sensors=["amsr2"]))


def test_weights_of_one_pass_are_none_for_both(chosen, own):
    one, both = (str(own[f"gdcm-compact-{kind}"]) for kind in ("centred", "both-passes"))
    for fill, path in (("gdcm-compact-both-passes", one), ("gdcm-compact-centred", both)):
        with pytest.raises(WrongWeights, match="another vocabulary"):
            product(chosen(fill, weights={"fill": path}))


@pytest.mark.parametrize(
    ("part", "baseline"),
    [("fill", "interpolation"), ("retrieve", "regression"), ("correct", "none")],
)
def test_weights_that_nothing_uses_are_refused(part, baseline):
    options = {part: baseline, "weights": {part: "/no/such.safetensors"}}
    with pytest.raises(ConfigError, match=f"names some for '{part}', and '{part}: {baseline}'"):
        product(options)


def test_a_satellite_that_is_named_twice_is_refused(chosen):
    with pytest.raises(ConfigError, match="'sensors': f17 is named twice"):
        product(chosen(sensors=["f17", "f17"]))


# --- a run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    wanted = Selection(outputs=("rss", "oisst"))
    archive.simulate(folder / "archive", FIRST, LAST, seed=2019, selection=wanted, processes=1)
    return folder


def run_file(folder, world, options, store="store"):
    content = {
        "product": "deepflux",
        "period": {"first": str(FIRST), "last": str(LAST)},
        "options": options,
        "archives": {name: str(world / "archive" / name) for name in ("rss", "oisst")},
        "profiles": {"serial": {"store": str(folder / store), "cluster": {"kind": "serial"}}},
    }
    path = folder / f"{store}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def made(world, chosen):
    """Published by a run with networks throughout; not to be changed."""
    ff.run(run_file(world, world, chosen()), strict=True)
    return world / "store"


def test_observed_values_come_through_as_they_were_stored(made):
    before, after = (
        read_published(Store.at(made), f"deepflux-{name}") for name in ("merged", "filled")
    )
    for variable in cf.MICROWAVE:
        raw, filled = before[variable.name][:], after[variable.name][:]
        states, told = (of[f"{variable.name}_state"][:] for of in (before, after))
        assert (raw[states == cf.OBSERVED] == filled[states == cf.OBSERVED]).all()
        assert set(np.unique(told)) <= {cf.OBSERVED, cf.COMPLETED, cf.SEA_ICE, cf.LAND}
        assert ((told == cf.OBSERVED) == (states == cf.OBSERVED)).all()
        assert ((filled != variable.packing.fill) == (told <= cf.LAST_VALID)).all()
        assert (told == cf.COMPLETED).mean() > 0.1
    assert (before["pass_time"][:] == after["pass_time"][:]).all()


def test_the_record_holds_what_the_chain_makes(made):
    record, passes = ff.open(made).load(), ff.open(made, "deepflux-passes").load()
    assert record.attrs["notice"].count("trained on a simulated world (seed 1)") == 3
    assert "SIMULATED" in record.attrs["notice"]
    assert "Baseline" not in record.attrs["notice"]
    meanings = record["flux_state"].attrs["flag_meanings"].split()
    codes = dict(zip(meanings, record["flux_state"].attrs["flag_values"], strict=True))
    assert codes["filled_by_network"] == cf.COMPLETED
    there = np.isfinite(record["latent_heat_flux"].values)
    assert (there == (record["flux_state"].values <= cf.LAST_VALID)).all() and there.mean() > 0.5
    for name in ("air_temperature", "specific_humidity", "latent_heat_flux", "sensible_heat_flux"):
        error, part = (record[n] for n in record[name].attrs["ancillary_variables"].split())
        assert (
            error.attrs["standard_name"] == f"{record[name].attrs['standard_name']} standard_error"
        )
        assert (np.isfinite(error.values) == there).all() and (error.values[there] > 0).all()
        assert (np.isfinite(part.values) == there).all()
        assert (part.values[there] <= error.values[there]).all()
        ratio = (part / error).values[there]
        if name == "specific_humidity":  # of which nothing is known
            assert np.abs(ratio - 1).max() < 0.1
        else:
            assert np.median(ratio) < 0.95
    given = [passes[n].values for n in ("wind_speed", "sea_surface_temperature")]
    given += [passes[n].values for n in ("air_temperature", "specific_humidity")]
    latitude = np.broadcast_to(passes["lat"].values[:, None], given[0].shape)
    again = bulk_flux(*given, latitude=latitude, wind_kind="neutral", outputs=("latent",)).latent
    known = np.isfinite(again)
    apart = np.abs(again - passes["latent_heat_flux_bulk"].values)[known]
    assert np.quantile(apart, 0.999) < 0.5
    assert np.abs(passes["latent_heat_flux"] - passes["latent_heat_flux_bulk"]).mean() > 1


PLAN = """
import sys
sys.argv = ["fluxforge", "plan", "-c", sys.argv[1]]
from fluxengine.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("imported", {"torch", "safetensors", "distributed"} & set(sys.modules) or "nothing")
"""


def planned(path):
    done = subprocess.run(
        [sys.executable, "-c", PLAN, str(path)], check=True, capture_output=True, text=True
    )
    return done.stdout


def test_plans_import_no_torch_and_a_device_is_no_reason_to_run(made, world, chosen):
    same = planned(world / "store.yaml")
    assert "Nothing to run" in same and "imported nothing" in same
    elsewhere = world / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(made, elsewhere / "store")
    moved = planned(run_file(elsewhere, world, chosen(device="cuda")))
    assert "Nothing to run" in moved and "imported nothing" in moved
    lower = planned(run_file(elsewhere, world, chosen(precision="bf16")))
    assert "Nothing to run" not in lower and "imported nothing" in lower


def test_one_satellite_more_runs_no_network_and_is_told(made, world, chosen):
    """F13 did not fly then: what is merged comes out as it was, and ends the change there."""
    later = world / "later"
    later.mkdir()
    shutil.copytree(made, later / "store")
    path = run_file(later, world, chosen(sensors=["f13", "f17"]))
    assert set(ff.run(path, strict=True).blocks) == {"deepflux-merged"}
    notice = ff.open(later / "store", "deepflux").attrs["notice"]
    assert notice.count("It saw passes of f17, and is used for f13 as well.") == 3
    assert ff.plan(path).is_empty


def test_the_wind_is_corrected_beside_the_retrieved_one(world, chosen, mpfnet_file):
    """With both passes as context of the filling, and a day of history in the retrieval."""
    options = chosen("gdcm-compact-both-passes", correct="wind")
    options["weights"]["retrieve"] = str(mpfnet_file(networks.RETRIEVAL, history=2))
    path = run_file(world, world, options, store="wind")
    assert "imported nothing" in planned(path)
    ff.run(path, strict=True)
    passes = ff.open(world / "wind", "deepflux-passes").load()
    names = ("wind_speed_corrected", "sea_surface_temperature", *(v.name for v in cf.NEAR_SURFACE))
    given = [passes[name].values for name in names]
    latitude = np.broadcast_to(passes["lat"].values[:, None], given[0].shape)
    again = bulk_flux(*given, latitude=latitude, wind_kind="neutral", outputs=("latent",)).latent
    known = np.isfinite(again)
    assert np.quantile(np.abs(again - passes["latent_heat_flux"].values)[known], 0.999) < 0.5
    moved = (passes["wind_speed_corrected"] - passes["wind_speed"]).values
    assert np.nanstd(moved) > 0 and (passes["wind_speed_corrected"].values[known] >= 0).all()
    record = ff.open(world / "wind")
    assert {"wind_speed", "wind_speed_corrected", "latent_heat_flux_standard_error"} <= set(record)
