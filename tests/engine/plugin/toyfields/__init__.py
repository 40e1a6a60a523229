"""A plug-in such as a third party would write: one source, a few stages, three products."""
