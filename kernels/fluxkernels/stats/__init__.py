"""Statistics of fields and series: arrays in, numbers out."""
