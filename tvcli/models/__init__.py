"""A model's name to its files and a running engine: the catalogue, Python packages, the hub."""
