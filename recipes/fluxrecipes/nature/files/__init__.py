"""What the simulated world is written as: a module for each format, `table` for what there is."""
