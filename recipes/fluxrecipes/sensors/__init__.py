"""Assessing a sensor: what a new one must show beside the record before it enters it."""
