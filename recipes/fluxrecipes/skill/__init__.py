"""How good the record's networks are, beside the baselines that they must beat."""
