"""What the paper does, on any engine: NumPy in, NumPy or records out."""
