"""Weights in files: safetensors with everything in them that says what they are.

A file holds the tensors and one JSON document: the network's name and settings, a model card, and a
digest over all of it. The same net and card give the same bytes. Reading never unpickles, and what
does not fit is refused in words.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from fluxkernels.errors import (
    ArchitectureError,
    DamagedWeightsError,
    PurposeError,
    SettingsError,
    TensorsError,
)
from fluxkernels.nets.cards import (
    AGAIN,
    DOCUMENT,
    card_of,
    difference,
    document_of,
    not_ours,
    refuse_pickles,
)
from fluxkernels.nets.cards import ErrorModel as ErrorModel
from fluxkernels.nets.cards import ModelCard as ModelCard
from fluxkernels.nets.gdcm import GDCM, GDCMSettings
from fluxkernels.nets.mpfnet import MPFNet, MPFNetSettings
from fluxkernels.nets.vocabulary import Vocabulary

_NETS: dict[str, tuple[type[GDCM | MPFNet], type[GDCMSettings | MPFNetSettings]]] = {
    "GDCM": (GDCM, GDCMSettings),
    "MPFNet": (MPFNet, MPFNetSettings),
}
_PARTS = {"architecture": str, "settings": dict, "card": dict}  # of it, beside the digest


class Loaded(NamedTuple):
    """A net with its weights, in evaluation mode, and its card."""

    net: GDCM | MPFNet
    card: ModelCard


def save(path: Path, net: GDCM | MPFNet, card: ModelCard) -> None:
    """Write a net's weights.

    Parameters
    ----------
    path : Path
        Of the file, by custom ``*.safetensors``.
    net : GDCM or MPFNet
    card : ModelCard

    Raises
    ------
    SettingsError
        Where the card's vocabulary has other channels than the net, or errors of others, or a score
        is not finite.
    OSError
        Where it cannot be written, as on a full disk: what was there before stays.
    """
    _check_channels(net, card.vocabulary)
    _check_errors(card)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in net.state_dict().items()}
    document = {
        "architecture": type(net).__name__,
        "settings": asdict(net.settings),
        "card": asdict(card),
    }
    try:
        document["digest"] = _digest(tensors, document)
    except ValueError as error:  # JSON knows no NaN
        raise SettingsError(f"the model card cannot be written: {error}.", "card") from error
    metadata = {DOCUMENT: json.dumps(document, sort_keys=True, allow_nan=False)}
    _write_whole(path, safetensors.torch.save(tensors, metadata))


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file in the place of the one before, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load(
    path: Path,
    *,
    architecture: str | None = None,
    sensor: str | None = None,
    orbit: str | None = None,
    vocabulary: Vocabulary | None = None,
) -> Loaded:
    """Read a net with its weights, and refuse one that is not what was asked for.

    Parameters
    ----------
    path : Path
        Of the file.
    architecture : {"GDCM", "MPFNet"}, optional
        Network wanted; by default any.
    sensor, orbit : str, optional
        What it must have been trained for; by default anything.
    vocabulary : Vocabulary, optional
        What it must take and give, to the last scaling; by default anything.

    Returns
    -------
    Loaded

    Raises
    ------
    PickledWeightsError
        Where it is a pickle, or an archive as PyTorch's own.
    DamagedWeightsError
        Where it is no safetensors file of this package, or not as it was saved.
    ArchitectureError
        Where it is another network than `architecture`, or one not known here.
    PurposeError
        Where sensor, orbit or vocabulary is another.
    TensorsError
        Where tensors are missing or superfluous, or of other shapes or types.
    """
    place = str(path)
    data = path.read_bytes()
    refuse_pickles(data, place)
    tensors, document = _unpack(data, place)
    name = document["architecture"]
    if name not in _NETS or (architecture is not None and architecture != name):
        wanted = f"{architecture} was asked for" if architecture else f"known are {list(_NETS)}"
        raise ArchitectureError(f"the weights are of {name!r}; {wanted}.", place)
    card = card_of(document["card"], place)
    _check_purpose(card, {"sensor": sensor, "orbit": orbit, "vocabulary": vocabulary}, place)
    net = _empty_net(name, document["settings"], place)
    _check_tensors(net.state_dict(), tensors, place)
    net.load_state_dict(tensors, assign=True)
    return Loaded(net.eval(), card)


def _unpack(data: bytes, place: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and document, after both were checked against the digest."""
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
    except (safetensors.SafetensorError, ValueError) as error:
        raise not_ours(error, place) from error
    document = document_of(data[8 : 8 + length], place)
    digest = document.pop("digest")
    complete = {name: type(part) for name, part in document.items()} == _PARTS
    if not complete or digest != _digest(tensors, document):
        raise DamagedWeightsError("its content is not what was saved.", place, AGAIN)
    return tensors, document


def _digest(tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> str:
    """SHA-256 over the document and every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_purpose(card: ModelCard, wanted: Mapping[str, object], place: str) -> None:
    for what, value in wanted.items():
        has = getattr(card, what)
        if value is not None and value != has:
            raise PurposeError(
                f"trained for another {what}: {difference(has, value)}.",
                place,
                "Name the weights trained for it, or train some.",
            )


def _empty_net(name: str, settings: Mapping[str, Any], place: str) -> GDCM | MPFNet:
    """The network without memory for its weights, whatever sizes the file claims."""
    kind, of = _NETS[name]
    given = {
        key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
    }
    known = {field.name for field in fields(of)}
    if set(given) != known:
        raise ArchitectureError(
            f"{name} has other settings in this version: {sorted(set(given) ^ known)}.",
            place,
            "Use the version that saved it, or train the weights again.",
        )
    try:
        with torch.device("meta"):
            return kind(of(**given))  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArchitectureError(f"no {name} can be built from {given} ({error}).", place) from error


def _check_tensors(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], place: str) -> None:
    for fault, names in (
        ("lacks", wanted.keys() - given.keys()),
        ("has beyond the network's", given.keys() - wanted.keys()),
    ):
        if names:
            raise TensorsError(f"the file {fault} tensors {sorted(names)}.", place, AGAIN)
    for name, tensor in wanted.items():
        mine, file = (tuple(tensor.shape), tensor.dtype), (given[name].shape, given[name].dtype)
        if mine != (tuple(file[0]), file[1]):
            raise TensorsError(
                f"tensor {name} is {tuple(file[0])} {file[1]}, in the network {mine[0]} {mine[1]}.",
                place,
                AGAIN,
            )


def _check_channels(net: GDCM | MPFNet, vocabulary: Vocabulary) -> None:
    """Refuse a vocabulary that is not of the net."""
    s = net.settings
    inputs, outputs = (
        (s.variables + s.context, s.variables)
        if isinstance(s, GDCMSettings)
        else (s.predictors, s.outputs)
    )
    has = len(vocabulary.predictors), len(vocabulary.outputs)
    if has != (inputs, outputs):
        raise SettingsError(
            f"the vocabulary has {has[0]} predictors and {has[1]} outputs, the net {inputs} and "
            f"{outputs}.",
            "card",
        )


def _check_errors(card: ModelCard) -> None:
    strange = sorted(card.errors.keys() - {quantity.name for quantity in card.vocabulary.outputs})
    if strange:
        raise SettingsError(
            f"it tells of errors of {strange}, which the net does not give.", "card"
        )
