"""Files of the Hugging Face hub, in the hub's own cache.

huggingface_hub queries the hub and handles the cache, the token and the environment variables. The transfer is
implemented here, since huggingface_hub neither continues an interrupted transfer nor checks hashes.
"""
