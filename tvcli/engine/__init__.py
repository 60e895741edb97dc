"""Load a model, run prompts, read and change residuals.

No other part of tv calls llama.cpp or knows its constants. Two others use `native`: ``tv doctor``, for the library, and
the command line's signals, for the process.
"""
