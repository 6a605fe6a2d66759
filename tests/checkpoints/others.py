"""Gemma 3, Idefics3, SmolVLM, and Mistral Small 3.1, whose pictures are Pixtral's."""

from pathlib import Path
from typing import Any

import transformers as tf

from tests.checkpoints import templates
from tests.checkpoints.saving import MEAN, STD, VISION, save, text_config
from tests.checkpoints.tokens import CONTEXT, byte_level, sentence_pieces

LOOK = {"image_mean": MEAN, "image_std": STD}
SIDE = 56  # pixels of a tile, of 4 tokens


def save_gemma3(folder: Path) -> Path:
    """A picture's tokens see each other both ways; of two layers the first sees 24 tokens back."""
    vocabulary, merges = sentence_pieces()
    words = tf.GemmaTokenizer(
        vocabulary,
        merges,
        model_max_length=CONTEXT,
        extra_special_tokens={
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
    )
    words.add_special_tokens(
        {"extra_special_tokens": ["<start_of_turn>", "<end_of_turn>"]}, replace_extra_special_tokens=False
    )
    config = tf.Gemma3Config(
        text_config=text_config(
            words,
            num_hidden_layers=2,
            head_dim=24,
            query_pre_attn_scalar=24,
            sliding_window=24,
            layer_types=["sliding_attention", "full_attention"],
        ),
        vision_config={**VISION, "image_size": SIDE, "patch_size": 14, "vision_use_head": False},
        mm_tokens_per_image=4,
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
        image_token_index=words.image_token_id,
    )
    processor = tf.Gemma3Processor(
        tf.Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE}, **LOOK),
        words,
        image_seq_length=4,
        chat_template=templates.GEMMA3,
    )
    return save(folder, tf.Gemma3ForConditionalGeneration(config), processor)


def _idefics_tokens() -> list[str]:
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    return ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *tiles]


def _idefics_vision() -> dict[str, Any]:
    return {**VISION, "image_size": SIDE, "patch_size": 14}


def save_idefics3(folder: Path) -> Path:
    """Tiles of 56 × 56 pixels, up to 2 × 2 of them and a small copy of the whole."""
    vocabulary, merges = byte_level()
    words = tf.Qwen2Tokenizer(
        vocabulary,
        merges,
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
        pad_token="<|end_of_text|>",
        add_bos_token=True,
        model_max_length=CONTEXT,
        extra_special_tokens=_idefics_tokens(),
    )
    config = tf.Idefics3Config(
        text_config={"model_type": "llama", **text_config(words)},
        vision_config=_idefics_vision(),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        pad_token_id=words.pad_token_id,
        scale_factor=2,
    )
    pictures = tf.Idefics3ImageProcessor(
        size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}, **LOOK
    )
    processor = tf.Idefics3Processor(pictures, words, image_seq_len=4, chat_template=templates.IDEFICS3)
    return save(folder, tf.Idefics3ForConditionalGeneration(config), processor)


def save_smolvlm(folder: Path) -> Path:
    """As Idefics3, and videos as rows of pictures with a time before each."""
    vocabulary, merges = byte_level()
    words = tf.GPT2Tokenizer(
        vocabulary,
        merges,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        model_max_length=CONTEXT,
        extra_special_tokens={
            "fake_image_token": "<fake_token_around_image>",
            "image_token": "<image>",
            "end_of_utterance_token": "<end_of_utterance>",
            "global_image_token": "<global-img>",
        },
    )
    words.add_special_tokens(
        {"extra_special_tokens": [t for t in _idefics_tokens() if t.startswith("<row")]},
        replace_extra_special_tokens=False,
    )
    config = tf.SmolVLMConfig(
        text_config={"model_type": "llama", **text_config(words)},
        vision_config=_idefics_vision(),
        image_token_id=words.image_token_id,
        pad_token_id=words.pad_token_id,
        scale_factor=2,
    )
    size = {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}, **LOOK}
    processor = tf.SmolVLMProcessor(
        tf.SmolVLMImageProcessor(**size),
        words,
        tf.SmolVLMVideoProcessor(**size, num_frames=8, fps=1),
        image_seq_len=4,
        chat_template=templates.SMOLVLM,
    )
    return save(folder, tf.SmolVLMForConditionalGeneration(config), processor)


def save_mistral3(folder: Path) -> Path:
    """Pictures of any shape, with a token at the end of every row. Heads are 24 wide."""
    vocabulary, merges = byte_level()
    words = tf.Qwen2Tokenizer(  # theirs is a file alone, of the same kind
        vocabulary,
        merges,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        add_bos_token=True,
        model_max_length=CONTEXT,
        extra_special_tokens=[
            *("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
            *("[IMG]", "[IMG_BREAK]", "[IMG_END]"),
        ],
    )
    config = tf.Mistral3Config(
        text_config={"model_type": "mistral", **text_config(words, head_dim=24)},
        vision_config={
            "model_type": "pixtral",
            **VISION,
            "head_dim": 16,
            "image_size": 112,
            "patch_size": 14,
        },
        image_token_index=words.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
    )
    processor = tf.PixtralProcessor(
        tf.PixtralImageProcessor(size={"longest_edge": 112}, patch_size=14, **LOOK),
        words,
        patch_size=14,
        spatial_merge_size=2,
        chat_template=templates.MISTRAL3,
    )
    return save(folder, tf.Mistral3ForConditionalGeneration(config), processor)
