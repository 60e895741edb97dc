"""llama.cpp's shared libraries: found, checked and declared. Nothing else in tv knows ctypes."""
