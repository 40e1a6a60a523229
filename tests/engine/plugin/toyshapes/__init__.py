"""Products of other shapes: a refined swath, a series with lead times, an hourly table of land."""
