"""Products: pages of declarations."""
