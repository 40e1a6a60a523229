"""Weights in files: safetensors with everything in them that says what they are.

A file holds the tensors and one JSON document: the network's name and settings, a model card, and a
digest over all of it. The same net and card give the same bytes. Reading never unpickles, and what
does not fit is refused in words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
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
)
from fluxkernels.nets.gdcm import GDCM, GDCMSettings
from fluxkernels.nets.mpfnet import MPFNet, MPFNetSettings
from fluxkernels.nets.vocabulary import Quantity, Vocabulary

_NETS: dict[str, tuple[type[GDCM | MPFNet], type[GDCMSettings | MPFNetSettings]]] = {
    "GDCM": (GDCM, GDCMSettings),
    "MPFNet": (MPFNet, MPFNetSettings),
}
_DOCUMENT = "fluxforge"  # the one key of a file's metadata: several have no order
_PARTS = {"architecture": str, "settings": dict, "card": dict}  # of it, beside the digest
_AGAIN = "Fetch or train the weights again."


@dataclass(frozen=True)
class ModelCard:
    """What one must know of weights before using them.

    Parameters
    ----------
    data : str
        What they were trained on. Says so where it was a simulated world.
    period : str
        Of the training data, such as ``"1992-2017, 2019-2020"``.
    skill : mapping of str to float
        Scores, such as ``{"rmse air_temperature [K]": 0.9}``, each finite.
    commit : str
        Of the code that trained them.
    seed : int
        Of the training.
    sensor : str
        Such as ``"f17"``.
    orbit : str
        ``"ascending"``, ``"descending"`` or ``"both"``.
    vocabulary : Vocabulary
        Predictors and outputs, with units and scalings.
    """

    data: str
    period: str
    skill: Mapping[str, float]
    commit: str
    seed: int
    sensor: str
    orbit: str
    vocabulary: Vocabulary


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
        Where the card's vocabulary has other channels than the net, or a score is not finite.
    """
    _check_channels(net, card.vocabulary)
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
    metadata = {_DOCUMENT: json.dumps(document, sort_keys=True, allow_nan=False)}
    path.write_bytes(safetensors.torch.save(tensors, metadata))


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
    _refuse_pickles(data, place)
    tensors, document = _unpack(data, place)
    name = document["architecture"]
    if name not in _NETS or (architecture is not None and architecture != name):
        wanted = f"{architecture} was asked for" if architecture else f"known are {list(_NETS)}"
        raise ArchitectureError(f"the weights are of {name!r}; {wanted}.", place)
    card = _card(document["card"], place)
    _check_purpose(card, {"sensor": sensor, "orbit": orbit, "vocabulary": vocabulary}, place)
    net = _empty_net(name, document["settings"], place)
    _check_tensors(net.state_dict(), tensors, place)
    net.load_state_dict(tensors, assign=True)
    return Loaded(net.eval(), card)


def _refuse_pickles(data: bytes, place: str) -> None:
    """Tell a pickle by its first bytes.

    A safetensors file begins with the length of its header, whose first byte may be a pickle's too;
    but its ninth byte is always a brace.
    """
    archive = data[:4] == b"PK\x03\x04"
    if archive or (data[:1] == b"\x80" and data[8:9] != b"{"):
        raise PickledWeightsError(
            "this is a pickle, or an archive of one, and reading it could run any code.",
            place,
            "Convert it to safetensors where you trust it, then save it by this module.",
        )


def _unpack(data: bytes, place: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and document, after both were checked against the digest."""
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        document = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_DOCUMENT])
        digest = document.pop("digest")
        complete = {name: type(part) for name, part in document.items()} == _PARTS
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedWeightsError(
            f"this is no whole file of weights as this package saves them ({error}).", place, _AGAIN
        ) from error
    if not complete or digest != _digest(tensors, document):
        raise DamagedWeightsError("its content is not what was saved.", place, _AGAIN)
    return tensors, document


def _digest(tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> str:
    """SHA-256 over the document and every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _card(document: dict[str, Any], place: str) -> ModelCard:
    try:
        channels = {
            side: tuple(Quantity(**quantity) for quantity in document["vocabulary"][side])
            for side in ("predictors", "outputs")
        }
        return ModelCard(**{**document, "vocabulary": Vocabulary(**channels)})
    except (TypeError, KeyError) as error:
        raise DamagedWeightsError(
            f"its model card is none that this version reads ({error}).", place, _AGAIN
        ) from error


def _check_purpose(card: ModelCard, wanted: Mapping[str, object], place: str) -> None:
    for what, value in wanted.items():
        has = getattr(card, what)
        if value is not None and value != has:
            raise PurposeError(
                f"trained for another {what}: {_difference(has, value)}.",
                place,
                "Name the weights trained for it, or train some.",
            )


def _difference(has: object, wanted: object) -> str:
    """What differs; of a vocabulary, the first quantity that does."""
    if not isinstance(has, Vocabulary) or not isinstance(wanted, Vocabulary):
        return f"{has!r}, not {wanted!r}"
    for side in ("predictors", "outputs"):
        mine, theirs = getattr(has, side), getattr(wanted, side)
        if [quantity.name for quantity in mine] != [quantity.name for quantity in theirs]:
            return f"{side} {[q.name for q in mine]}, not {[q.name for q in theirs]}"
        for one, other in zip(mine, theirs, strict=True):
            if one != other:
                return f"{one}, not {other}"
    return "equal"


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
            raise TensorsError(f"the file {fault} tensors {sorted(names)}.", place, _AGAIN)
    for name, tensor in wanted.items():
        mine, file = (tuple(tensor.shape), tensor.dtype), (given[name].shape, given[name].dtype)
        if mine != (tuple(file[0]), file[1]):
            raise TensorsError(
                f"tensor {name} is {tuple(file[0])} {file[1]}, in the network {mine[0]} {mine[1]}.",
                place,
                _AGAIN,
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
