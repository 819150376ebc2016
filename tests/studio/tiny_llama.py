"""A Llama of one small layer with random weights as a GGUF file: `python tiny_llama.py FILE [sentences]`.

Run by an interpreter that has the package `gguf`. What it says is drawn from some Russian words: how likely a token is
lies in one channel, which is the same for all of them, since random weights alone would mostly say bytes that are no
text. With `sentences` it likes to write JSON between the words, so that a schema has something to bind.
"""

from __future__ import annotations

import sys
from pathlib import Path

WORDS = ["Гагарин", "летал", "вокруг", "Земли", "и", "вернулся", "домой", "первым", "в", "космос"]
STOPS = [".", "!"]
JSON = ['{"sentences":[{"emotion":"', '","text":"', '"},{"emotion":"', '"}]}']
WIDTH, LAYER, HEADS, CONTEXT = 32, 64, 2, 4096
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:"


def write(path: Path, *, sentences: bool = False) -> None:
    """The same bytes for the same versions of numpy and gguf."""
    import gguf
    import numpy as np

    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [gguf.TokenType.BYTE] * 256
    # SentencePiece writes a space before a word as U+2581.
    words = [f"\u2581{word}" for word in WORDS] + STOPS + (JSON if sentences else [])
    tokens += words
    kinds += [gguf.TokenType.NORMAL] * len(words)

    random = np.random.default_rng(5)

    def weights(*shape: int, scale: float = 0.05) -> np.ndarray:
        return (scale * random.standard_normal(shape)).astype(np.float32)

    embedding = weights(len(tokens), WIDTH)
    embedding[:, 0] = 10.0
    output = weights(len(tokens), WIDTH)
    output[:, 0] = -2.0
    output[-len(words) :, 0] = 1.0
    output[tokens.index("</s>"), 0] = 0.85

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(LAYER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output.weight", output)
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(WIDTH, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        writer.add_tensor(f"blk.0.{name}.weight", weights(WIDTH, WIDTH))
    writer.add_tensor("blk.0.ffn_gate.weight", weights(LAYER, WIDTH))
    writer.add_tensor("blk.0.ffn_up.weight", weights(LAYER, WIDTH))
    writer.add_tensor("blk.0.ffn_down.weight", weights(WIDTH, LAYER))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]), sentences="sentences" in sys.argv[2:])
