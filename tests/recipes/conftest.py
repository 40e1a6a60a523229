"""Small networks with random weights, in files as training writes them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fluxkernels.nets.quantities import Vocabulary
from fluxrecipes import networks

sys.path.insert(0, str(Path(__file__).parent))  # matchupworld

Files = Callable[..., Path]


@pytest.fixture(scope="module")
def gdcm_file(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Write the weights of a small GDCM; gives their path."""
    import torch

    from fluxkernels.nets import weights
    from fluxkernels.nets.gdcm import GDCM, GDCMSettings

    folder = tmp_path_factory.mktemp("gdcm")
    small = GDCMSettings(
        variables=5,
        context=1,
        entry=4,
        lstm=(4, 2),
        motion=(2, 3),
        prototypes=2,
        attention=4,
        decoder=4,
        pyramid=4,
        dilations=(1,),
        stem=3,
    )

    def write(before: int = 1, after: int = 1, both: bool = False, **card: object) -> Path:
        settings = replace(small, steps=before + 1 + after, target=before, context=6 if both else 1)
        vocabulary = networks.GAPS_BOTH_PASSES if both else networks.GAPS
        torch.manual_seed(1)
        path = folder / f"gdcm-{before}-{after}-{both}.safetensors"
        weights.save(path, GDCM(settings), _card(vocabulary, **card))
        return path

    return write


@pytest.fixture(scope="module")
def mpfnet_file(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Write the weights of a small MPFNet; gives their path."""
    import torch

    from fluxkernels.nets import weights
    from fluxkernels.nets.mpfnet import MPFNet, MPFNetSettings

    folder = tmp_path_factory.mktemp("mpfnet")

    def write(
        vocabulary: Vocabulary,
        history: int = 1,
        north: float = 60,
        south: float = -60,
        **card: object,
    ) -> Path:
        settings = MPFNetSettings(
            len(vocabulary.predictors),
            len(vocabulary.outputs),
            width=4,
            levels=2,
            modes=(3, 4),
            reduced=4,
            point=8,
            blocks=1,
            history=history,
            north=north,
            south=south,
        )
        torch.manual_seed(2)
        path = folder / f"mpfnet-{vocabulary.outputs[0].name}-{history}.safetensors"
        weights.save(path, MPFNet(settings), _card(vocabulary, **card))
        return path

    return write


def _card(taken: Vocabulary, **other: object) -> object:
    from fluxkernels.nets.weights import ModelCard

    plain = ModelCard(
        "a simulated world (seed 1)", "2015", {"rmse [K]": 0.9}, "0123abc", 1, "f17", "both",
        taken,
    )  # fmt: skip
    return replace(plain, **other)
