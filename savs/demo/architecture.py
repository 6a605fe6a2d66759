"""The demo model's configuration, tokenizer and processor.

A Qwen2.5-VL of 3.6 million parameters. This module trains nothing; `train` produces the weights.
"""

import itertools
import random
from pydoc_data import topics

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from savs.demo.questions import ANSWERS, clip_turns, matching_scene, pair_turns, picture_turns
from savs.demo.scenes import CLIP_FRAMES, MOTIONS, SIDE, random_scene

VOCABULARY = 2000  # tokens
TOKENIZER_SEED = 20
CONTEXT = 1024  # tokens
TOKENS_PER_SECOND = 2  # one temporal position per pair of frames at 4 frames a second

PAD, END, USER, ASSISTANT = "<|endoftext|>", "<|end|>", "<|user|>", "<|assistant|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE, VIDEO = "<|image_pad|>", "<|video_pad|>"
SPECIAL_TOKENS = [PAD, END, USER, ASSISTANT, VISION_START, VISION_END, IMAGE, VIDEO]

CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|{{ message.role }}|>
{%- if message.content is string -%}{{ message.content }}{%- else -%}
{%- for item in message.content -%}
{%- if item.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif item.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>
{%- else -%}{{ item.text }}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- if message.role == 'assistant' -%}<|end|>{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE trained on the taught questions and answers and on plain English prose."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        model_max_length=CONTEXT,
        extra_special_tokens={
            "user_token": USER,
            "assistant_token": ASSISTANT,
            "vision_bos_token": VISION_START,
            "vision_eos_token": VISION_END,
            "image_token": IMAGE,
            "video_token": VIDEO,
        },
    )


def _texts() -> list[str]:
    rng = random.Random(TOKENIZER_SEED)
    texts = list(topics.topics.values())  # English text included in every Python
    for _ in range(1500):
        scene = random_scene(rng)
        turns = itertools.chain(
            itertools.islice(picture_turns(scene, rng), 16),
            itertools.islice(pair_turns(scene, matching_scene(scene, rng), rng), 8),
            itertools.islice(clip_turns(scene, rng.choice(MOTIONS), rng), 8),
        )
        for turn in turns:
            texts += [turn.question, turn.answer]
    return texts + [word for words in ANSWERS.values() for word in words] * 50


def make_processor(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLProcessor:
    """Return a processor for images and frames of about `SIDE` × `SIDE` pixels, in patches of 14, merged
    two by two."""
    budget = {"shortest_edge": SIDE * SIDE, "longest_edge": SIDE * SIDE}  # total pixels
    mean = std = [0.5, 0.5, 0.5]
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=budget, image_mean=mean, image_std=std),
        video_processor=Qwen2VLVideoProcessor(
            size=budget, image_mean=mean, image_std=std, cap_pixels_per_frame=False, num_frames=CLIP_FRAMES
        ),
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
    )


def make_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    """Return 6 layers of 12 query heads (4 key/value heads) of width 16, on a vision tower of 4 layers."""
    ids = tokenizer.convert_tokens_to_ids
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 192,
            "intermediate_size": 384,
            "num_hidden_layers": 6,
            "num_attention_heads": 12,
            "num_key_value_heads": 4,
            "max_position_embeddings": CONTEXT,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 3, 3],
            },
            "bos_token_id": ids(USER),
            "eos_token_id": ids(END),
            "pad_token_id": ids(PAD),
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 128,
            "intermediate_size": 320,
            "num_heads": 4,
            "out_hidden_size": 192,
            "fullatt_block_indexes": [0, 1, 2, 3],
            "tokens_per_second": TOKENS_PER_SECOND,
        },
        image_token_id=ids(IMAGE),
        video_token_id=ids(VIDEO),
        vision_start_token_id=ids(VISION_START),
        vision_end_token_id=ids(VISION_END),
        tie_word_embeddings=True,
    )
