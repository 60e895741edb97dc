"""GGUF files: what is checked before llama.cpp sees one, and control vectors."""
