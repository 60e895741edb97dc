"""Load a model, run prompts, read and overwrite residuals. Nothing else in tv knows llama.cpp."""
