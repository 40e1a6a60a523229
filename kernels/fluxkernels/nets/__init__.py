"""Networks on latitude-longitude grids: gap completion and near-surface retrieval, in PyTorch.

Arrays of a net are shaped (batch, channel, latitude, longitude), windows of days (batch, time,
variable, latitude, longitude). Longitude is periodic throughout. Nothing here is imported by
``import fluxkernels``: PyTorch comes in only with the modules of this package.
"""
