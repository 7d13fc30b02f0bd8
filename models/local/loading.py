"""Loading models from folders or the Hub: safetensors only, no remote code, and failures in one line."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pairwright.schemas.errors import JudgeError
from pairwright.schemas.models import CausalModel, ModelSource

SMALL = 256 * 2**20
"""Bytes of weights that a plan loads to try how fast they read; a larger model's pace is known from its first build."""

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""What glibc's malloc.h calls the bytes kept at the top of the heap, and those from which a block is apart from it."""


def prepare() -> None:
    """Settings that must stand before torch is first imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on a busy machine spinning threads cost up to eightfold
    _keep_freed_memory()
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise JudgeError(f"{error.name} is missing; install it with `pip install 'pairwright[models]'`") from None
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()


def _keep_freed_memory() -> None:
    """Have glibc keep what a batch frees for the next: giving it back and getting it again costs some percent on a CPU.

    Whoever sets MALLOC_TRIM_THRESHOLD_ in the environment is left alone.
    """
    if platform.libc_ver()[0] == "glibc" and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(TRIM_THRESHOLD, 256 * 2**20)


def device_of(model: ModelSource) -> str:
    """Where a model runs."""
    import torch

    if model.device != "auto":
        return model.device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def is_small(model: ModelSource) -> bool:
    """Whether a model lies here and may be loaded just to see how fast it is."""
    return model.is_local and sum(path.stat().st_size for path in Path(model.where).glob("*.safetensors")) <= SMALL


def usual_batch(device: Any) -> int:
    """Tokens of a batch: enough to fill a GPU; on a CPU, activations that stay in its caches."""
    return 1_024 if device.type == "cpu" else 4_096


@contextmanager
def told_in_one_line(model: ModelSource) -> Iterator[None]:
    """Turn whatever a loader raises into one JudgeError that names the model and the reason."""
    try:
        yield
    except JudgeError:
        raise
    except MemoryError:
        raise JudgeError(f"model {model.where!r} does not fit in memory") from None
    except Exception as error:  # loaders raise OSError, ValueError, RuntimeError, safetensors' and torch's own
        kind = type(error).__name__
        reason = " ".join(str(error).split())[:300]
        raise JudgeError(f"model {model.where!r} cannot be loaded ({kind}: {reason})") from error


def options(model: ModelSource) -> dict[str, Any]:
    """Arguments that every loader gets: the pinned revision of a Hub model, and nothing from the net for a folder."""
    return {"local_files_only": True} if model.is_local else {"revision": model.commit}


def load_tokenizer(model: ModelSource) -> Any:
    """A model's tokenizer."""
    prepare()
    from transformers import AutoTokenizer

    with told_in_one_line(model):
        return AutoTokenizer.from_pretrained(model.where, trust_remote_code=False, **options(model))


def load_config(model: ModelSource) -> Any:
    """A model's configuration, without its weights."""
    prepare()
    from transformers import AutoConfig

    with told_in_one_line(model):
        return AutoConfig.from_pretrained(model.where, trust_remote_code=False, **options(model))


def limit_of(model: ModelSource, max_tokens: int | None, config: Any) -> int:
    """Greatest number of tokens of a sequence. Raises JudgeError where nobody says, or the recipe asks for too many."""
    made_for = getattr(config.get_text_config(), "max_position_embeddings", None)
    limit = max_tokens or made_for
    if not limit:
        raise JudgeError(f"model {model.id!r} does not say how long its sequences may be; set max_tokens")
    if made_for and limit > made_for:
        raise JudgeError(f"model {model.id!r}: max_tokens {limit} is beyond the {made_for} it was made for")
    return int(limit)


def load_causal(model: CausalModel) -> tuple[Any, Any]:
    """A causal model ready to read, and its tokenizer."""
    tokenizer = load_tokenizer(model)
    import torch
    from transformers import AutoModelForCausalLM

    with told_in_one_line(model):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model.where,
            dtype=getattr(torch, model.dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options(model),
        )
        network, report = loaded
        absent = sorted(report["missing_keys"])
        if absent:
            raise JudgeError(f"model {model.where!r} lacks weights of a causal model ({', '.join(absent[:3])}, …)")
        if network.get_output_embeddings() is None:
            raise JudgeError(f"model {model.where!r} has no output layer over a vocabulary")
        network = network.to(device_of(model)).eval()
    return network, tokenizer
