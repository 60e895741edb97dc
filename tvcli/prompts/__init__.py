"""Examples and queries to prompts: the paper's template, or a model's chat template."""
