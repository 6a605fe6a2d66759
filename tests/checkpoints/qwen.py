"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL, and GLM-4.1V and GLM-4.6V, which are made like them."""

from pathlib import Path
from typing import Any

import transformers as tf

from tests.checkpoints import templates
from tests.checkpoints.saving import MEAN, STD, save, text_config
from tests.checkpoints.tokens import CONTEXT, byte_level

PIXELS = {"shortest_edge": 56 * 56, "longest_edge": 84 * 84}  # of a picture
FRAME_PIXELS = {"shortest_edge": 56 * 56, "longest_edge": 16 * 56 * 56}  # of a video; Qwen2 counts each frame
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LOOK = {"image_mean": MEAN, "image_std": STD}


def tokenizer() -> Any:
    """Qwen's, with the tokens that its vision-language models add."""
    vocabulary, merges = byte_level()
    return tf.Qwen2Tokenizer(
        vocabulary,
        merges,
        eos_token="<|im_end|>",
        model_max_length=CONTEXT,
        extra_special_tokens=[
            *("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
        ],
    )


def save_qwen2_vl(folder: Path) -> Path:
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2}
    return _save_qwen2(
        folder, tf.Qwen2VLConfig, tf.Qwen2VLForConditionalGeneration, tf.Qwen2VLProcessor, vision
    )


def save_qwen2_5_vl(folder: Path) -> Path:
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": 64,
        "fullatt_block_indexes": [1],
        "window_size": 56,
    }
    return _save_qwen2(
        folder, tf.Qwen2_5_VLConfig, tf.Qwen2_5_VLForConditionalGeneration, tf.Qwen2_5_VLProcessor, vision
    )


def _save_qwen2(folder: Path, config: Any, network: Any, processor: Any, vision: dict[str, Any]) -> Path:
    words = tokenizer()
    rope = {**ROPE, "mrope_section": [2, 3, 3]}
    made = config(text_config=text_config(words, rope_parameters=rope), vision_config=vision, **_ids(words))
    video = tf.Qwen2VLVideoProcessor(size=PIXELS, cap_pixels_per_frame=False, **LOOK)
    return save(
        folder,
        network(made),
        processor(
            tf.Qwen2VLImageProcessor(size=PIXELS, **LOOK), words, video, chat_template=templates.QWEN2_VL
        ),
    )


def save_qwen3_vl(folder: Path) -> Path:
    """Heads are 24 wide, where hidden_size / heads is 16."""
    words = tokenizer()
    rope = {**ROPE, "mrope_section": [4, 4, 4]}
    config = tf.Qwen3VLConfig(
        text_config=text_config(words, head_dim=24, rope_parameters=rope),
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": 14,
            "out_hidden_size": 64,
            "num_position_embeddings": 36,
            "deepstack_visual_indexes": [0, 1],
        },
        **_ids(words),
    )
    processor = tf.Qwen3VLProcessor(
        tf.Qwen2VLImageProcessor(size=PIXELS, patch_size=14, **LOOK),
        words,
        tf.Qwen3VLVideoProcessor(size=FRAME_PIXELS, patch_size=14, cap_pixels_per_frame=False, **LOOK),
        chat_template=templates.QWEN3_VL,
    )
    return save(folder, tf.Qwen3VLForConditionalGeneration(config), processor)


def _ids(words: Any) -> dict[str, int]:
    names = {"image": "<|image_pad|>", "video": "<|video_pad|>"}
    names |= {"vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>"}
    return {f"{name}_token_id": words.convert_tokens_to_ids(token) for name, token in names.items()}


def save_glm4_1v(folder: Path) -> Path:
    return _save_glm(
        folder,
        (tf.Glm4vConfig, tf.Glm4vForConditionalGeneration),
        (tf.Glm4vImageProcessor, tf.Glm4vVideoProcessor, tf.Glm4vProcessor),
    )


def save_glm4_6v(folder: Path) -> Path:
    return _save_glm(
        folder,
        (tf.Glm46VConfig, tf.Glm46VForConditionalGeneration),
        (tf.Glm46VImageProcessor, tf.Glm46VVideoProcessor, tf.Glm46VProcessor),
    )


def _save_glm(folder: Path, model: tuple[Any, Any], processors: tuple[Any, Any, Any]) -> Path:
    vocabulary, merges = byte_level()
    places = [f"<|{edge}_of_{kind}|>" for kind in ("image", "video") for edge in ("begin", "end")]
    words = tf.Qwen2Tokenizer(  # theirs is a file alone, of the same kind
        vocabulary,
        merges,
        model_max_length=CONTEXT,
        extra_special_tokens=[
            "[gMASK]",
            "<sop>",
            "<|user|>",
            "<|assistant|>",
            "<|image|>",
            "<|video|>",
            *places,
        ],
    )
    ids = words.convert_tokens_to_ids
    config, network = model
    made = config(
        text_config=text_config(
            words, rope_parameters={**ROPE, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 2]}
        ),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "image_size": 84,
            "out_hidden_size": 64,
        },
        image_token_id=ids("<|image|>"),
        video_token_id=ids("<|video|>"),
        image_start_token_id=ids("<|begin_of_image|>"),
        image_end_token_id=ids("<|end_of_image|>"),
        video_start_token_id=ids("<|begin_of_video|>"),
        video_end_token_id=ids("<|end_of_video|>"),
    )
    image, video, processor = processors
    return save(
        folder,
        network(made),
        processor(
            image(size={"shortest_edge": 56 * 56 * 2, "longest_edge": 84 * 84 * 2}, **LOOK),
            words,
            video(size=FRAME_PIXELS, **LOOK),
            chat_template=templates.GLM4V,
        ),
    )
