"""Decadal trends of monthly records: maps, regions, and what a reviewer asks of them."""
