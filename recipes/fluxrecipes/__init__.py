"""fluxrecipes: what is computed from what: sources, simulated world, products."""
