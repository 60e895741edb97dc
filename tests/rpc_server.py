"""llama.cpp's rpc-server on loopback, out of the library that llama-cpp-python brings: python rpc_server.py PORT."""

import ctypes
import sys

from tvcli.engine.native.library import load

library = load()
registry = library.ggml_backend_reg_by_name(b"RPC")
# void ggml_backend_rpc_start_server(const char * endpoint, const char * cache_dir,
#                                    size_t n_threads, size_t n_devices, ggml_backend_dev_t * devices);
start_server = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)
)(library.ggml_backend_reg_get_proc_address(registry, b"ggml_backend_rpc_start_server"))
cpu = (ctypes.c_void_p * 1)(library.ggml_backend_dev_get(0))
start_server(f"127.0.0.1:{sys.argv[1]}".encode(), None, 1, 1, cpu)
