"""A model's name to its files and a running engine: the catalog, Python packages, the hub."""
