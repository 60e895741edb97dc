"""The keys of an mmproj file and their types, as clip.cpp reads them (``clip_model_loader::load_hparams``).

clip.cpp takes each with the getter of its type, which aborts the process on another.
"""

from __future__ import annotations

from gguf.constants import GGUFValueType

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
_FLOATS = """
    clip.vision.attention.layer_norm_epsilon clip.audio.attention.layer_norm_epsilon clip.vision.swiglu_clamp
"""
_BOOLS = """
    clip.has_vision_encoder clip.has_audio_encoder clip.has_gen_audio_encoder clip.use_gelu clip.use_silu
"""
_TEXTS = """
    general.name general.description clip.projector_type clip.vision.projector_type clip.audio.projector_type
    clip.gen.audio.projector_type clip.gen.audio.model_variant clip.vision.mm_patch_merge_type
"""
_DIVISORS = """
    attention.head_count attention.head_count_kv embedding_length patch_size projection_dim
"""

SCALARS = {
    **{f"clip.vision.{key}": GGUFValueType.UINT32 for key in (_EITHER + _VISION).split()},
    **{f"clip.audio.{key}": GGUFValueType.UINT32 for key in (_EITHER + _AUDIO).split()},
    "clip.minicpmv_query_num": GGUFValueType.UINT32,
    "clip.minicpmv_version": GGUFValueType.INT32,
    **dict.fromkeys(_FLOATS.split(), GGUFValueType.FLOAT32),
    **dict.fromkeys(_BOOLS.split(), GGUFValueType.BOOL),
    **dict.fromkeys(_TEXTS.split(), GGUFValueType.STRING),
}
POSITIVE = tuple(f"clip.vision.{key}" for key in _DIVISORS.split())
