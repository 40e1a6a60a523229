"""Filling the gaps of daily maps without a network: what every learned filler must beat."""
