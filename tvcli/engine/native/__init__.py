"""llama.cpp's shared libraries: found, checked and declared. No other part of tv uses ctypes."""
