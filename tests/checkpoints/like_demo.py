"""Tiny random checkpoints with the demo model's tokenizer, chat template and pictures."""

from pathlib import Path

import torch
from transformers import (
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLProcessor,
)

from savs.demo.architecture import make_config, make_processor, make_tokenizer
from tests.checkpoints.saving import SPREAD, randomize


def save_qwen2_5_vl(folder: Path, seed: int = 3) -> Path:
    """Six layers of 12 heads, as the demo model, at random."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    config = make_config(tokenizer)
    config.text_config.initializer_range = config.vision_config.initializer_range = SPREAD
    model = Qwen2_5_VLForConditionalGeneration(config)
    randomize(model)
    model.save_pretrained(folder)
    make_processor(tokenizer).save_pretrained(folder)
    return folder


def save_qwen2_vl(folder: Path, seed: int = 4) -> Path:
    """Three layers of 4 query heads over 2 key/value heads, at random."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    like = make_config(tokenizer)
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 1024,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 3, 3],
            },
            "bos_token_id": like.text_config.bos_token_id,
            "eos_token_id": like.text_config.eos_token_id,
            "pad_token_id": like.text_config.pad_token_id,
        },
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 64,
            "num_heads": 2,
            "mlp_ratio": 2,
        },
        image_token_id=like.image_token_id,
        video_token_id=like.video_token_id,
        vision_start_token_id=like.vision_start_token_id,
        vision_end_token_id=like.vision_end_token_id,
    )
    model = Qwen2VLForConditionalGeneration(config)
    randomize(model)
    model.save_pretrained(folder)
    processor = make_processor(tokenizer)
    Qwen2VLProcessor(
        image_processor=processor.image_processor,
        video_processor=processor.video_processor,
        tokenizer=tokenizer,
        chat_template=processor.chat_template,
    ).save_pretrained(folder)
    return folder
