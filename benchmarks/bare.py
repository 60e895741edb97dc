"""Answer a query about one image with llama.cpp alone, to compare with `tv apply`. MODEL MMPROJ IMAGE."""

import ctypes
import sys

import llama_cpp.llama_cpp as C
import llama_cpp.mtmd_cpp as M
import numpy as np
from PIL import Image


def main(model_file: str, mmproj_file: str, picture: str) -> None:
    silent = C.llama_log_callback(lambda *_: None)
    for set_log in (C.llama_log_set, M.mtmd_log_set, M.mtmd_helper_log_set):
        set_log(silent, ctypes.c_void_p(0))
    C.llama_backend_init()
    model = C.llama_model_load_from_file(model_file.encode(), C.llama_model_default_params())
    params = C.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = 4096, 2048, 2048
    params.n_threads = params.n_threads_batch = 2
    context = C.llama_init_from_model(model, params)
    vision = M.mtmd_context_params_default()
    vision.warmup, vision.print_timings, vision.n_threads = False, False, 2
    eyes = M.mtmd_init_from_file(mmproj_file.encode(), model, vision)
    pixels = np.ascontiguousarray(Image.open(picture).convert("RGB"))
    bytes_p = ctypes.POINTER(ctypes.c_uint8)
    bitmap = M.mtmd_bitmap_init(pixels.shape[1], pixels.shape[0], pixels.ctypes.data_as(bytes_p))
    text, chunks = b"Q:<__media__>\nA:", M.mtmd_input_chunks_init()
    question = M.mtmd_input_text(text, len(text), True, False)
    assert M.mtmd_tokenize(eyes, chunks, ctypes.byref(question), (M.mtmd_bitmap_p_ctypes * 1)(bitmap), 1) == 0
    after = C.llama_pos(0)
    assert M.mtmd_helper_eval_chunks(eyes, context, chunks, 0, 0, 2048, True, ctypes.byref(after)) == 0
    vocabulary = C.llama_model_get_vocab(model)
    logits = np.ctypeslib.as_array(C.llama_get_logits_ith(context, -1), (C.llama_vocab_n_tokens(vocabulary),))
    piece = ctypes.create_string_buffer(64)
    size = C.llama_token_to_piece(vocabulary, int(logits.argmax()), piece, 64, 0, True)
    print(piece.raw[:size].decode())
    M.mtmd_free(eyes)
    C.llama_free(context)
    C.llama_model_free(model)


if __name__ == "__main__":
    main(*sys.argv[1:])
