"""Load a model, run prompts, read and change residuals.

Nothing else in tv calls llama.cpp or has numbers of it, apart from two that ask `native` about the library and the
process that it runs in: ``tv doctor``, and the command line's signals.
"""
