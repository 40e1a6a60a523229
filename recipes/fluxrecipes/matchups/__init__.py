"""Matchups: reports from the sea beside the passes of satellites over the same cell."""
