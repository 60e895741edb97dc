"""Files of the Hugging Face hub, in the hub's own cache.

huggingface_hub asks the hub and knows the cache, the token and the environment variables. The transfer is
done here, since its own neither goes on after an interruption nor checks what it got.
"""
