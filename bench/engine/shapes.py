"""Models of real sizes with random weights, built in memory: no checkpoint, no network.

The tokenizer is the demo model's, which is smaller than the vocabularies of the configurations; the
processors are those of the family, with their real patches and pixel budgets. Random weights take as much
time as trained ones.
"""

from typing import Any

import torch
import transformers as tf

from savs.data.video.sampling import FrameSampling
from savs.demo.architecture import CHAT_TEMPLATE, IMAGE, TOKENS_PER_SECOND, VIDEO, make_config
from savs.loading import wrap
from savs.model.checkpoint import DEMO
from savs.model.model import Model

SEED = 2357
FRAMES = 16  # of a video
CONTEXT = 32_768  # tokens
SIGLIP_TOKENS = 27 * 27  # of a tile of 384 × 384 pixels in patches of 14
# The vision tower of Qwen2.5-VL-3B and -7B (config.json of Qwen/Qwen2.5-VL-7B-Instruct).
QWEN_VISION: dict[str, Any] = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "window_size": 112,
    "tokens_per_second": TOKENS_PER_SECOND,
}
QWEN_PIXELS = {"shortest_edge": 3136, "longest_edge": 12_845_056}  # its preprocessor_config.json
# The decoders: of Qwen2.5-VL-7B-Instruct, which LLaVA-OneVision-7B shares except for its vocabulary, and of
# Qwen2.5-VL-3B-Instruct.
SEVEN: dict[str, Any] = {
    "vocab_size": 152_064,
    "hidden_size": 3584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 128_000,
    "rms_norm_eps": 1e-6,
}
THREE: dict[str, Any] = SEVEN | {
    "vocab_size": 151_936,
    "hidden_size": 2048,
    "intermediate_size": 11_008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
}
# The vision tower of llava-hf/llava-onevision-qwen2-7b-ov-hf.
SIGLIP: dict[str, Any] = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "patch_size": 14,
    "image_size": 384,
    "num_hidden_layers": 26,
    "num_attention_heads": 16,
    "vision_use_head": False,
}
SHAPES = ("qwen2.5-vl-7b", "qwen2.5-vl-3b", "llava-onevision-7b", "demo")


def build(shape: str, device: torch.device) -> Model:
    """Return the model of a name in SHAPES on `device`: bfloat16 on a GPU, float32 on a CPU.

    There is no self-test: in bfloat16 random weights round more than trained ones, and the model is only
    timed.
    """
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    words = tf.AutoTokenizer.from_pretrained(DEMO)
    words.model_max_length = CONTEXT
    config, processor = _llava(words) if shape.startswith("llava") else qwen(shape, words)
    torch.manual_seed(SEED)
    with device:
        network = tf.AutoModelForImageTextToText.from_config(config, dtype=dtype)
    sampling = FrameSampling(FRAMES)
    return wrap(network.eval(), processor, f"random {shape}", "none", "0" * 64, sampling, self_test=False)


def qwen(shape: str, words: Any) -> tuple[Any, Any]:
    """Return the configuration and the processor of a shape of Qwen2.5-VL, with the tokenizer `words`."""
    config = make_config(words)
    if shape == "demo":
        config.text_config.max_position_embeddings = CONTEXT
    else:
        text = SEVEN if shape == "qwen2.5-vl-7b" else THREE
        rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
        config = tf.Qwen2_5_VLConfig(
            text_config=text | _ids(words) | {"rope_parameters": rope},
            vision_config=QWEN_VISION | {"out_hidden_size": text["hidden_size"]},
            tie_word_embeddings=text is THREE,
            **{n: v for n, v in config.to_dict().items() if n.endswith("_token_id")},
        )
    processor = tf.Qwen2_5_VLProcessor(
        tf.Qwen2VLImageProcessor(size=QWEN_PIXELS),
        words,
        tf.Qwen2VLVideoProcessor(size=QWEN_PIXELS, cap_pixels_per_frame=False),
        chat_template=CHAT_TEMPLATE,
    )
    return config, processor


def _llava(words: Any) -> tuple[Any, Any]:
    rope = {"rope_type": "default", "rope_theta": 1e6}
    text = SEVEN | _ids(words) | {"model_type": "qwen2", "vocab_size": 152_000, "rope_parameters": rope}
    config = tf.LlavaOnevisionConfig(
        text_config=text | {"max_position_embeddings": CONTEXT},
        vision_config=SIGLIP,
        image_token_index=words.convert_tokens_to_ids(IMAGE),
        video_token_index=words.convert_tokens_to_ids(VIDEO),
    )
    size = {"height": SIGLIP["image_size"], "width": SIGLIP["image_size"]}
    half = [0.5, 0.5, 0.5]
    processor = tf.LlavaOnevisionProcessor(
        tf.LlavaOnevisionImageProcessor(
            size=size, image_grid_pinpoints=config.image_grid_pinpoints, image_mean=half, image_std=half
        ),
        words,
        tf.LlavaOnevisionVideoProcessor(size=size, image_mean=half, image_std=half),
        num_image_tokens=SIGLIP_TOKENS,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
        video_token=VIDEO,
    )
    return config, processor


def _ids(words: Any) -> dict[str, int]:
    return {"bos_token_id": words.eos_token_id} | {
        f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("eos", "pad")
    }
