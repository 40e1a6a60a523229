"""Weights in files: what is saved comes back, and nothing else is let in."""

from __future__ import annotations

import io
import json
import pickle
import resource
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from fluxkernels.errors import (
    ArchitectureError,
    DamagedWeightsError,
    PickledWeightsError,
    PurposeError,
    SettingsError,
    TensorsError,
    WeightsError,
)
from fluxkernels.nets import weights
from fluxkernels.nets.cards import read_head
from fluxkernels.nets.gdcm import GDCM
from fluxkernels.nets.mpfnet import MPFNet
from fluxkernels.nets.vocabulary import Vocabulary
from fluxkernels.nets.weights import ErrorModel, ModelCard, load, save

Window = Callable[..., tuple[Tensor, Tensor]]
Cards = Callable[[int, int], ModelCard]


@pytest.fixture
def saved(tmp_path: Path, mpfnet: MPFNet, card: Cards) -> Path:
    """A file of weights of a small MPFNet."""
    path = tmp_path / "mpfnet.safetensors"
    save(path, mpfnet, card(3, 2))
    return path


def _rewrite(path: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> None:
    """Change a file as one would who also mends its digest."""
    data = path.read_bytes()
    tensors = safetensors.torch.load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    document = json.loads(header["__metadata__"]["fluxforge"])
    del document["digest"]
    change(tensors, document)
    document["digest"] = weights._digest(tensors, document)
    path.write_bytes(safetensors.torch.save(tensors, {"fluxforge": json.dumps(document)}))


def test_a_gdcm_comes_back(gdcm: GDCM, card: Cards, tmp_path: Path, window: Window) -> None:
    """Card, settings, every tensor, and the answer bit for bit."""
    s, path = gdcm.settings, tmp_path / "gdcm.safetensors"
    save(path, gdcm, card(s.variables + s.context, s.variables))
    back = load(path, architecture="GDCM", sensor="f17", orbit="ascending")
    assert back.card == card(s.variables + s.context, s.variables)
    assert back.net.settings == s
    assert not back.net.training
    values, masks = window(gdcm)
    assert torch.equal(back.net(values, masks), gdcm(values, masks))


def test_an_mpfnet_comes_back_and_can_be_trained_on(
    saved: Path, mpfnet: MPFNet, window: Window, card: Cards
) -> None:
    """Its parameters still take gradients."""
    back = load(saved, architecture="MPFNet", vocabulary=card(3, 2).vocabulary).net
    reading = back(*window(mpfnet))
    torch.manual_seed(7)
    assert back.state_dict().keys() == mpfnet.state_dict().keys()
    assert all(map(torch.equal, back.state_dict().values(), mpfnet.state_dict().values()))
    reading.mean.sum().backward()
    assert all(p.requires_grad and p.device.type == "cpu" for p in back.parameters())


def test_the_same_net_gives_the_same_bytes(
    saved: Path, mpfnet: MPFNet, card: Cards, tmp_path: Path
) -> None:
    """So a file's digest says whether weights changed."""
    save(tmp_path / "again", mpfnet, card(3, 2))
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_a_write_that_fails_leaves_the_weights_that_were_there(
    saved: Path, mpfnet: MPFNet, card: Cards
) -> None:
    """As on a full disk; and nothing half written stays beside them."""
    before, (soft, hard) = saved.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            save(saved, mpfnet, replace(card(3, 2), seed=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert saved.read_bytes() == before and load(saved)
    assert list(saved.parent.iterdir()) == [saved]
    save(saved, mpfnet, replace(card(3, 2), seed=2))
    assert load(saved).card.seed == 2


class _Bomb:
    """Unpickling this would be noticed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("it was unpickled",)


def _torch_file() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(2), "bomb": _Bomb()}, buffer)
    return buffer.getvalue()


def _old_torch_file() -> bytes:
    buffer = io.BytesIO()
    torch.save({"bomb": _Bomb()}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def _zip_file() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(_Bomb()))
    return buffer.getvalue()


PICKLES: dict[str, Callable[[], bytes]] = {
    "torch": _torch_file,
    "torch of old": _old_torch_file,
    "zip": _zip_file,
    **{f"protocol {p}": (lambda p=p: pickle.dumps(_Bomb(), protocol=p)) for p in range(2, 6)},
}


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_pickles_are_refused_unread(tmp_path: Path, kind: str, suffix: str) -> None:
    """By their bytes, whatever the file is called."""
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(PICKLES[kind]())
    with pytest.raises(PickledWeightsError, match="could run any code"):
        load(path)


@pytest.mark.parametrize("protocol", [0, 1])
def test_pickles_without_a_mark_are_not_read_either(tmp_path: Path, protocol: int) -> None:
    """The oldest protocols have no first byte of their own."""
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(_Bomb(), protocol=protocol))
    with pytest.raises(DamagedWeightsError):
        load(path)


def test_a_header_whose_length_begins_as_a_pickle_is_none(
    saved: Path, mpfnet: MPFNet, card: Cards
) -> None:
    """One safetensors file in 32 begins with a pickle's first byte."""
    for pad in range(300):
        save(saved, mpfnet, replace(card(3, 2), data="x" * pad))
        if saved.read_bytes()[0] == 0x80:
            break
    assert saved.read_bytes()[0] == 0x80
    assert load(saved).card.data == "x" * pad


@pytest.mark.parametrize("kept", [0, 3, 8, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(saved: Path, kept: float) -> None:
    """Wherever it ends."""
    data = saved.read_bytes()
    saved.write_bytes(data[: int(kept if kept > 1 or kept == 0 else kept * len(data))])
    with pytest.raises(DamagedWeightsError):
        load(saved)


def test_any_flipped_bit_is_noticed(saved: Path) -> None:
    """In the header, the card or the tensors."""
    data = saved.read_bytes()
    generator = torch.Generator().manual_seed(3)
    header = 8 + int.from_bytes(data[:8], "little")
    places = [
        *range(9),
        *torch.randint(header, (60,), generator=generator).tolist(),
        *torch.randint(header, len(data), (40,), generator=generator).tolist(),
        len(data) - 1,
    ]
    for place in places:
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << (place % 8)
        saved.write_bytes(spoilt)
        with pytest.raises(WeightsError):
            load(saved)


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    """Nothing says what they are."""
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}, {"fluxforge": "[]"}, {"fluxforge": "{}"}):
        path.write_bytes(safetensors.torch.save({"weight": torch.zeros(2)}, metadata))
        with pytest.raises(DamagedWeightsError, match="no whole file of weights"):
            load(path)


@pytest.mark.parametrize("part", ["architecture", "settings", "card"])
def test_a_document_of_other_kinds_is_refused(saved: Path, part: str) -> None:
    """Though its digest is right."""
    _rewrite(saved, lambda _, document: document.update({part: [1, 2]}))
    with pytest.raises(DamagedWeightsError, match="not what was saved"):
        load(saved)


def test_another_architecture_is_refused(saved: Path) -> None:
    """Than was asked for, or than is known, or in settings of another version."""
    with pytest.raises(ArchitectureError, match="'MPFNet'; GDCM was asked for"):
        load(saved, architecture="GDCM")
    original = saved.read_bytes()
    for change, said in (
        ({"architecture": "UNet"}, "known are"),
        ({"settings": {"predictors": 3, "colour": 1}}, "colour"),
    ):
        saved.write_bytes(original)
        _rewrite(saved, lambda _, document, change=change: document.update(change))
        with pytest.raises(ArchitectureError, match=said):
            load(saved)


@pytest.mark.parametrize("wrong", ["wide", None, -1, 0])
def test_settings_that_build_no_net_are_refused(saved: Path, wrong: object) -> None:
    """As an architecture that cannot be, not by a traceback from within."""
    _rewrite(saved, lambda _, document: document["settings"].update(width=wrong))
    with pytest.raises(ArchitectureError, match="MPFNet can be built"):
        load(saved)


def test_huge_settings_take_no_memory(saved: Path) -> None:
    """The shapes are compared before a byte is set aside for them."""
    _rewrite(saved, lambda _, document: document["settings"].update(point=10**6))
    with pytest.raises(TensorsError):
        load(saved)


def test_another_purpose_is_refused(saved: Path, card: Cards) -> None:
    """Another sensor, pass or vocabulary, saying what differs."""
    with pytest.raises(PurposeError, match="another sensor: 'f17', not 'f16'"):
        load(saved, sensor="f16")
    with pytest.raises(PurposeError, match="another orbit"):
        load(saved, orbit="descending")
    mine = card(3, 2).vocabulary
    with pytest.raises(PurposeError, match=r"predictors \['in0', 'in1', 'in2'\], not \['in0'\]"):
        load(saved, vocabulary=Vocabulary(mine.predictors[:1], mine.outputs))
    degrees = replace(mine.outputs[1], units="degC", offset=16.85)
    with pytest.raises(PurposeError, match=r"units='K'.* not .*units='degC'"):
        load(saved, vocabulary=Vocabulary(mine.predictors, (mine.outputs[0], degrees)))


def _lose(tensors: dict[str, Tensor], _: Any) -> None:
    del tensors["fuse.bias"]


def _add(tensors: dict[str, Tensor], _: Any) -> None:
    tensors["extra"] = torch.zeros(1)


def _widen(tensors: dict[str, Tensor], _: Any) -> None:
    tensors["fuse.bias"] = torch.zeros(99)


def _shorten(tensors: dict[str, Tensor], _: Any) -> None:
    tensors["fuse.bias"] = tensors["fuse.bias"].half()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_lose, r"lacks tensors \['fuse.bias'\]"),
        (_add, r"has beyond the network's tensors \['extra'\]"),
        (_widen, r"fuse.bias is \(99,\)"),
        (_shorten, r"fuse.bias is \(16,\) torch.float16"),
    ],
)
def test_other_tensors_are_refused(saved: Path, change: Any, said: str) -> None:
    """Missing, superfluous, of another shape or type."""
    _rewrite(saved, change)
    with pytest.raises(TensorsError, match=said):
        load(saved)


def test_a_card_without_its_lines_is_refused(saved: Path) -> None:
    """One that this version cannot read."""
    _rewrite(saved, lambda _, document: document["card"].pop("sensor"))
    with pytest.raises(DamagedWeightsError, match="model card"):
        load(saved)


def test_what_is_known_of_errors_comes_back(mpfnet: MPFNet, card: Cards, tmp_path: Path) -> None:
    """Of each output; where nothing was found they are as the net tells them."""
    path, known = tmp_path / "w", ErrorModel(1.3, 0.2, 2.5, 400.0, "calibrated on 900 matchups")
    save(path, mpfnet, replace(card(3, 2), errors={"out1": known}))
    for back in (load(path).card, read_head(path).card):
        assert back.errors == {"out1": known} and back.error_model("out1") == known
        assert back.error_model("out0") == ErrorModel()
        assert back.error_model("out0").factor == 1.0
        assert back.error_model("out0").systematic is None


def test_a_card_from_before_there_was_anything_about_errors_is_read(saved: Path) -> None:
    """Then they are as the net tells them."""
    _rewrite(saved, lambda _, document: document["card"].pop("errors"))
    for card in (load(saved).card, read_head(saved).card):
        assert card.errors == {} and card.error_model("out0").factor == 1.0


@pytest.mark.parametrize(
    "errors",
    [
        {"out7": {}},
        {"out0": {"factor": 0.0}},
        {"out0": {"factor": "much"}},
        {"out0": {"systematic": 1.5}},
        {"out0": {"days": -1.0}},
        {"out0": {"bias": 1.0}},
        {"out0": 1.2},
        [1.2],
    ],
)
def test_errors_that_cannot_be_are_refused(saved: Path, errors: Any) -> None:
    """Of what the net does not give, out of range, under another name, of another kind."""
    _rewrite(saved, lambda _, document: document["card"].update(errors=errors))
    for read in (load, read_head):
        with pytest.raises(DamagedWeightsError, match="model card"):
            read(saved)
    with pytest.raises(SettingsError, match="positive"):
        ErrorModel(float("inf"))


def test_a_card_must_fit_the_net(mpfnet: MPFNet, card: Cards, tmp_path: Path) -> None:
    """When it is saved, not when someone trusts it."""
    with pytest.raises(SettingsError, match="4 predictors and 2 outputs, the net 3 and 2"):
        save(tmp_path / "w", mpfnet, card(4, 2))
    with pytest.raises(SettingsError, match="cannot be written"):
        save(tmp_path / "w", mpfnet, replace(card(3, 2), skill={"rmse": float("nan")}))
    with pytest.raises(SettingsError, match=r"errors of .*in0"):
        save(tmp_path / "w", mpfnet, replace(card(3, 2), errors={"in0": ErrorModel()}))
    assert not (tmp_path / "w").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is missing, as any other."""
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.safetensors")
