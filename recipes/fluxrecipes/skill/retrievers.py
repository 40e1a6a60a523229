"""Retrievals that know one point at a time: what networks are compared with.

Regression, boosting and a plain multilayer perceptron are fitted on one sample of the training
period; the latter two with the very inputs that the networks have at a point. Their labels are the
truth, which only a simulated world has, or reports from the sea, as for the networks. The oracle is
boosting, or a perceptron, on the sea and air as they were, without gaps, noise and bias: what it
misses, no method can find at a point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fluxengine.errors import ConfigError
from fluxkernels import regression
from fluxrecipes import networks
from fluxrecipes.near_surface import from_sea, relative_to_sea
from fluxrecipes.skill.fields import VARIABLES
from fluxrecipes.skill.points import BEYOND, INPUTS, SST, Air, Floats, Sample
from fluxrecipes.skill.settings import Retrieval

BASELINE, ORACLE = "quadratic", "oracle"
Retrieve = Callable[[Sample], Air]


def quadratic(learn: Sample, seed: int) -> Retrieve:
    """Regression on wind, vapour and SST, fitted anew."""

    def inputs(sample: Sample) -> tuple[Floats, Floats, Floats]:
        wind, vapour = (sample.inputs[:, INPUTS.index(name)] for name in VARIABLES[:2])
        return wind, vapour, sample.sst

    model = regression.fit(*inputs(learn), *learn.air)
    return lambda sample: model.predict(*inputs(sample))


def boosting(learn: Sample, seed: int) -> Retrieve:
    """Gradient boosting on the inputs that networks have at a point."""
    trees = _trees(learn.inputs, relative_to_sea(learn.sst, *learn.air), seed)
    return lambda s: from_sea(s.sst, *(one.predict(s.inputs) for one in trees))


def oracle(learn: Sample, seed: int) -> Retrieve:
    """What knows most of what was there: trees or a perceptron, whichever errs less.

    That is decided on a tenth of the points, for temperature and humidity apart.
    """
    sea = BEYOND.index(SST)
    targets = relative_to_sea(learn.perfect[:, sea], *learn.air)
    kept = np.random.default_rng(seed).random(len(targets[0])) < 0.1
    parts = [target[~kept] for target in targets]
    trees = _trees(learn.perfect[~kept], parts, seed, finest=True)
    net = _perceptron(learn.perfect[~kept], parts, seed)

    def both(inputs: Floats) -> list[tuple[Floats, Floats]]:
        pairs = zip(trees, net(inputs), strict=True)
        return [(tree.predict(inputs), said) for tree, said in pairs]

    best = [
        int(np.argmin([np.mean((one - target[kept]) ** 2) for one in pair]))
        for pair, target in zip(both(learn.perfect[kept]), targets, strict=True)
    ]
    return lambda s: from_sea(
        s.perfect[:, sea],
        *(pair[k] for pair, k in zip(both(s.perfect), best, strict=True)),
    )


def _trees(
    inputs: Floats, targets: Sequence[Floats], seed: int, *, finest: bool = False
) -> list[Any]:
    from sklearn.ensemble import (  # type: ignore[import-untyped]
        HistGradientBoostingRegressor,
    )

    return [
        HistGradientBoostingRegressor(
            max_iter=300,
            max_leaf_nodes=127 if finest else 63,
            learning_rate=0.1,
            min_samples_leaf=40,
            early_stopping=True,
            random_state=seed,
        ).fit(inputs, target)
        for target in targets
    ]


_WIDTH, _EPOCHS, _BATCH, _STEPS = 64, 30, 1024, 12_000


def mlp(learn: Sample, seed: int) -> Retrieve:
    """A plain multilayer perceptron on the inputs that networks have at a point."""
    net = _perceptron(learn.inputs, relative_to_sea(learn.sst, *learn.air), seed)
    return lambda s: from_sea(s.sst, *net(s.inputs))


def _perceptron(
    inputs: Floats, targets: Sequence[Floats], seed: int
) -> Callable[[Floats], tuple[Floats, ...]]:
    import torch
    from torch import nn

    offset, scale = np.nanmean(inputs, axis=0), np.nanstd(inputs, axis=0) + 1e-9
    quantities = networks.RETRIEVAL.outputs

    def scaled(given: Floats) -> torch.Tensor:
        return torch.from_numpy(np.nan_to_num((given - offset) / scale).astype(np.float32))

    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(inputs.shape[1], _WIDTH),
        nn.SiLU(),
        nn.Linear(_WIDTH, _WIDTH),
        nn.SiLU(),
        nn.Linear(_WIDTH, len(quantities)),
    )
    labels = [(t - q.offset) / q.scale for t, q in zip(targets, quantities, strict=True)]
    _train(net, scaled(inputs), torch.from_numpy(np.stack(labels, 1).astype(np.float32)))

    def retrieve(given: Floats) -> tuple[Floats, ...]:
        with torch.inference_mode():
            said = net(scaled(given)).double().numpy()
        return tuple(said[:, k] * q.scale + q.offset for k, q in enumerate(quantities))

    return retrieve


def _train(net: Any, inputs: Any, labels: Any) -> None:
    import torch

    a_round = max(1, -(-len(inputs) // _BATCH))
    rounds = max(1, min(_EPOCHS, _STEPS // a_round))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds * a_round)
    for _ in range(rounds):
        for some in torch.split(torch.randperm(len(inputs)), _BATCH):
            loss = torch.nn.functional.mse_loss(net(inputs[some]), labels[some])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()


BASELINES: Mapping[str, Callable[[Sample, int], Retrieve]] = {
    BASELINE: quadratic,
    "boosting": boosting,
    "mlp": mlp,
    "boosting-reports": boosting,
    "mlp-reports": mlp,
    ORACLE: oracle,
}
REPORTED = ("boosting-reports", "mlp-reports")  # fitted on reports, not on the truth


def check_installed(of: Retrieval) -> None:
    """Refuse boosting early where it cannot be had."""
    if not {"boosting", "boosting-reports", ORACLE} & set(of.methods):
        return
    try:
        import sklearn  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "boosting and the oracle need scikit-learn, which is not installed.",
            where="retrieval.methods",
            mend="Install scikit-learn, or name other methods.",
        ) from error
