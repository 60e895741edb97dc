"""Data that users write or the paper publishes: files of examples and queries, task folders, the paper's data."""
