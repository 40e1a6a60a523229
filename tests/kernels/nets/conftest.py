"""Small nets, and windows with gaps to feed them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from fluxkernels.nets.gdcm import GDCM, GDCMSettings
from fluxkernels.nets.mpfnet import MPFNet, MPFNetSettings
from fluxkernels.nets.vocabulary import Quantity, Vocabulary
from fluxkernels.nets.weights import ModelCard

Window = Callable[..., tuple[Tensor, Tensor]]

COMPACT = GDCMSettings(
    variables=2,
    context=1,
    steps=3,
    target=2,
    scale=2,
    entry=6,
    lstm=(5, 3),
    motion=(3, 4),
    prototypes=4,
    attention=8,
    decoder=8,
    pyramid=6,
    dilations=(1, 2),
    stem=4,
    nearby=2,
)
PAPER = GDCMSettings(
    steps=4,
    target=3,
    masks=False,
    scale=1,
    lstm=(6, 4, 2),
    motion=(3, 4, 5),
    prototypes=4,
    attention=8,
    decoder=8,
    pyramid=6,
    dilations=(1, 3),
)
POINTS = MPFNetSettings(3, 2, width=6, levels=2, modes=(3, 4), reduced=4, history=2, point=16)


@pytest.fixture(autouse=True)
def _reproducible() -> Iterator[None]:
    """One seed for every test, and one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["compact", "paper"])
def gdcm(request: pytest.FixtureRequest) -> GDCM:
    """A small GDCM in evaluation mode, after one look at data for its batch statistics."""
    net = GDCM({"compact": COMPACT, "paper": PAPER}[request.param])
    net(*_window(net.settings.steps, net.settings.variables + net.settings.context))
    return net.eval()


@pytest.fixture
def mpfnet() -> MPFNet:
    """A small MPFNet in evaluation mode."""
    return MPFNet(POINTS).eval()


@pytest.fixture
def window() -> Window:
    """Make random values and masks for a net: (B, T, V, 12, 24)."""

    def make(net: GDCM | MPFNet, batch: int = 2) -> tuple[Tensor, Tensor]:
        s = net.settings
        if isinstance(s, MPFNetSettings):
            return _window(s.history, s.predictors, batch)
        return _window(s.steps, s.variables + s.context, batch)

    return make


def _window(steps: int, fields: int, batch: int = 2) -> tuple[Tensor, Tensor]:
    values = torch.randn(batch, steps, fields, 12, 24)
    return values, torch.rand_like(values) > 0.4


@pytest.fixture
def card() -> Callable[[int, int], ModelCard]:
    """Make a model card with so many predictors and outputs."""

    def make(predictors: int, outputs: int) -> ModelCard:
        sides = (
            tuple(Quantity(f"{side}{k}", "K", 290.0, 10.0, 250.0, 330.0) for k in range(number))
            for side, number in (("in", predictors), ("out", outputs))
        )
        return ModelCard(
            data="a simulated world",
            period="2016",
            skill={"rmse [K]": 0.9},
            commit="0123abc",
            seed=7,
            sensor="f17",
            orbit="ascending",
            vocabulary=Vocabulary(*sides),
        )

    return make
