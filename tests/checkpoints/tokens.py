"""One small byte-pair encoding, spelt in the two ways of published tokenizers.

It is trained once per process, on the English text that comes with every Python.
"""

from functools import cache
from pydoc_data import topics

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

VOCABULARY = 500  # tokens, of which 256 are the bytes
CONTEXT = 2048  # tokens

Vocabulary = dict[str, int]
Merges = list[tuple[str, str]]


@cache
def byte_level() -> tuple[Vocabulary, Merges]:
    """As GPT-2's, Qwen's and Llama 3's: bytes are written as letters, a blank as Ġ."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(topics.topics.values(), trainer)
    vocabulary = trained.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    return {token: number for number, token in enumerate(tokens)}, _merges(tokens)


@cache
def sentence_pieces() -> tuple[Vocabulary, Merges]:
    """As Llama 2's and Gemma's: a blank is ▁, and what is no token is written byte by byte."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<s>", "</s>", "<mask>"]
    pieces = [t.replace("Ġ", "▁") for t in byte_level()[0]]
    pieces = [piece for piece in pieces if piece.replace("▁", "").isascii()]
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    return {token: number for number, token in enumerate(tokens)}, _merges(pieces)


def _merges(tokens: list[str]) -> Merges:
    """In the order of the vocabulary, which is the order in which they were found."""
    known = set(tokens)
    found = []
    for token in tokens:
        splits = ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        found += [(left, right) for left, right in splits if left in known and right in known][:1]
    return found
