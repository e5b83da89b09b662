"""ONNX's own tests of our operators that our graphs cannot express, by reason."""

from __future__ import annotations

REASONS: dict[str, str] = {
    "Arrays of integers, booleans or texts: values are floats": """
        test_*_uint[0-9]* test_*_int[0-9]* test_identity_opt test_identity_sequence
        test_edge_pad test_reflect_pad test_wrap_pad""",
    "Cast to integers, booleans, texts and 4- or 8-bit floats": "test_cast_*_to_*[!6T24E]*",
    "Cast between floats, Dropout in inference, others that change nothing: no node is left": """
        test_dropout_default test_dropout_default_[mr]* test_dropout_random_old
        test_unsqueeze_axis_0 test_reshape_negative_extended_dims
        test_transpose_all_permutations_0 test_reduce_sum_empty_axes_input_noop*""",
    "Dropout and BatchNormalization in training": """
        test_training_dropout* test_batchnorm_*_training_mode""",
    "Attention with masks, caches, windows, soft caps, causal, or with fewer heads for keys": """
        test_attention_*mask* test_attention_*causal* test_attention_*past* test_attention_*softcap*
        test_attention_*gqa* test_attention_*window* test_attention_*bias* test_attention_*softmax*
        test_attention_*cache* test_attention_*padded*""",
    "Images with three axes after the channels": "test_*pool_3d*",
    "Resize by cubic interpolation, or with antialiasing": """
        test_resize_*cubic* test_resize_*antialias*""",
    "Clip with a lower bound above the upper one": "test_clip_min_greater_than_max",
    "Expand to more axes than the value has": "test_expand_dim_changed",
    "ReduceMax over other axes than both of the pixels": "test_reduce_max_*",
    "Gather of elements that are not evenly spaced": """
        test_gather_[012]* test_gather_negative_indices""",
    "Gemm with a transposed value, or with a bias for each row": """
        test_gemm_transposeA test_gemm_all_attributes test_gemm_default_matrix_bias""",
    "MatMul of vectors, or of a batch with a value without one": """
        test_matmul_1d_* test_matmul_4d_1d test_matmul_bcast""",
    "Max and Min of several values": "test_max_* test_min_*",
    "Pow with exponents other than 0.5, 1, 2 and 3": """
        test_pow test_pow_example test_pow_bcast_array test_pow_types_float32_*""",
    "PRelu with a slope for each channel": "test_prelu_*",
    "Empty arrays": """
        test_reshape_allowzero_reordered test_slice_start_out_of_bounds
        test_split_zero_size_splits* test_reduce_sum_empty_set*""",
}
"""Patterns of the cases' names."""

DIFFERENT: dict[str, str] = {
    "test_resize_downsample_scales_linear_align_corners": (
        "Resize by scales with align_corners takes whole pixels for the last corner, as "
        "onnxruntime does"
    ),
}
"""Cases in which we follow onnxruntime and not ONNX's reference, with the reason."""
