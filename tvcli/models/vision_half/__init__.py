"""A model's own image encoder, run by transformers on the CPU, for models whose encoder llama.cpp does not run.

Only the vision half of a Hugging Face repository or folder is read: the image encoder and the connector to the
language model, without the layers of the latter. Every image is encoded once, and kept in the user's cache folder.
"""
