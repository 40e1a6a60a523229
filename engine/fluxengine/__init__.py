"""fluxengine: blocks, plans, stores, clusters, the command line. No oceanography."""
