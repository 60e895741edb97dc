"""The paper's method, on any engine: task vectors, layers, what they decode to, how similar they are."""
