"""What users write and the paper publishes: files of examples and queries, task folders, the paper's data."""
