"""LLaVA-OneVision, LLaVA-NeXT and InternVL3: a vision tower, a projector, and a plain decoder."""

from pathlib import Path
from typing import Any

import transformers as tf

from tests.checkpoints import templates
from tests.checkpoints.saving import MEAN, STD, VISION, save, text_config
from tests.checkpoints.tokens import CONTEXT, byte_level, sentence_pieces

LOOK = {"image_mean": MEAN, "image_std": STD}


def save_llava_onevision(folder: Path, **text: Any) -> Path:
    """Tiles of 42 × 42 pixels, of 9 tokens each; up to 2 × 2 of them for a picture that is alone.

    text  more of the decoder's configuration
    """
    side = 42
    tiles = [[side * rows, side * columns] for rows in (1, 2) for columns in (1, 2)]
    vocabulary, merges = byte_level()
    words = tf.Qwen2Tokenizer(
        vocabulary,
        merges,
        eos_token="<|im_end|>",
        model_max_length=CONTEXT,
        extra_special_tokens=["<|im_start|>", "<image>", "<video>"],
    )
    config = tf.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **text_config(words, **text)},
        vision_config={
            "model_type": "siglip_vision_model",
            **VISION,
            "image_size": side,
            "patch_size": 14,
            "vision_use_head": False,
        },
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=tiles,
    )
    size = {"height": side, "width": side}
    processor = tf.LlavaOnevisionProcessor(
        tf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=tiles, **LOOK),
        words,
        tf.LlavaOnevisionVideoProcessor(size=size, **LOOK),
        num_image_tokens=9,
        vision_feature_select_strategy="full",
        chat_template=templates.LLAVA_ONEVISION,
    )
    return save(folder, tf.LlavaOnevisionForConditionalGeneration(config), processor)


def save_stretched(folder: Path) -> Path:
    """A LLaVA-OneVision whose positions are stretched for all rows of a batch that has one of more than
    30 tokens: what an item's vectors are depends on what is beside it."""
    factors = {"short_factor": [1.0] * 8, "long_factor": [8.0] * 8, "original_max_position_embeddings": 30}
    return save_llava_onevision(
        folder, rope_parameters={"rope_type": "longrope", "rope_theta": 10000.0, "factor": 8.0, **factors}
    )


def save_llava_next(folder: Path) -> Path:
    """Over Mistral, with tiles of 28 × 28 pixels. Heads are 24 wide, where hidden_size / heads is 16."""
    side = 28
    tiles = [[side, 2 * side], [2 * side, side], [2 * side, 2 * side]]
    vocabulary, merges = sentence_pieces()
    words = tf.LlamaTokenizer(
        vocabulary,
        merges,
        pad_token="<pad>",
        add_bos_token=True,
        model_max_length=CONTEXT,
        extra_special_tokens=["<image>"],
    )
    config = tf.LlavaNextConfig(
        text_config={"model_type": "mistral", **text_config(words, head_dim=24, sliding_window=None)},
        vision_config={
            "model_type": "clip_vision_model",
            **VISION,
            "image_size": side,
            "patch_size": 14,
            "projection_dim": 32,
        },
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=tiles,
    )
    processor = tf.LlavaNextProcessor(
        tf.LlavaNextImageProcessor(
            size={"shortest_edge": side},
            crop_size={"height": side, "width": side},
            image_grid_pinpoints=tiles,
            **LOOK,
        ),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=templates.LLAVA_NEXT,
    )
    return save(folder, tf.LlavaNextForConditionalGeneration(config), processor)


def save_internvl(folder: Path) -> Path:
    """Tiles of 56 × 56 pixels, of 4 tokens each; up to three of them and a small copy of the whole."""
    side = 56
    vocabulary, merges = byte_level()
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    words = tf.Qwen2Tokenizer(
        vocabulary, merges, eos_token="<|im_end|>", model_max_length=CONTEXT, extra_special_tokens=names
    )
    words.add_special_tokens({"extra_special_tokens": ["<|im_start|>"]}, replace_extra_special_tokens=False)
    config = tf.InternVLConfig(
        text_config={"model_type": "qwen2", **text_config(words)},
        vision_config={**VISION, "image_size": [side, side], "patch_size": [14, 14]},
        image_token_id=words.context_image_token_id,
        image_seq_length=4,
    )
    size = {"height": side, "width": side}
    processor = tf.InternVLProcessor(
        tf.GotOcr2ImageProcessor(size=size, crop_to_patches=True, max_patches=3, **LOOK),
        words,
        tf.InternVLVideoProcessor(size=size, **LOOK),
        image_seq_length=4,
        chat_template=templates.INTERNVL,
    )
    return save(folder, tf.InternVLForConditionalGeneration(config), processor)
