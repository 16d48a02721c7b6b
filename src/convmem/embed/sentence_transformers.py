"""Any model of the sentence-transformers library, from this disk unless told otherwise."""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convmem.embed._rows import unit_rows
from convmem.embed._text import prepared
from convmem.embed.errors import EmbedderError
from convmem.errors import MissingExtraError
from convmem.threads.locks import Lock
from convmem.threads.once import Once

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from convmem.embed.protocol import Kind

__all__ = ["SentenceTransformersEmbedder"]

_PROMPTS: dict[Kind, tuple[str, ...]] = {"query": ("query",), "passage": ("document", "passage", "corpus")}
_SAMPLE = 64


class SentenceTransformersEmbedder:
    """A sentence-transformers model. A blank text has the zero vector.

    The model is loaded at first use, which `dim` and `fingerprint` are too. Its own prompts for queries and
    passages are used where it defines them. Texts that are embedded together are padded to one length, which
    moves a vector by some 1e-7.

    Args:
        model: a folder, or a name on the Hugging Face hub such as "BAAI/bge-m3".
        download: whether a model that is not on this disk may be fetched.
        revision: a branch, tag or commit on the hub.
        device: "cpu", "cuda", ...; by default the library's choice.
        query_prompt: put in front of every query instead of the model's own prompt.
        passage_prompt: the same for passages.
        batch_size: texts computed at once. A query waits for the batch before it, not for all of them.
        max_chars: what lies beyond is not embedded, whatever the model's own limit in tokens.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        download: bool = False,
        revision: str | None = None,
        device: str | None = None,
        query_prompt: str | None = None,
        passage_prompt: str | None = None,
        batch_size: int = 16,
        max_chars: int = 2048,
    ) -> None:
        if find_spec("sentence_transformers") is None:
            raise MissingExtraError(
                "SentenceTransformersEmbedder needs: pip install sentence-transformers"
                " (the extra `sentence-transformers` of convmem)"
            )
        self._name = str(model)
        self._download = download
        self._revision = revision
        self._device = device
        self._prompts: dict[Kind, str | None] = {"query": query_prompt, "passage": passage_prompt}
        self._batch_size = batch_size
        self._max_chars = max_chars
        self._model = Once(self._load)
        self._identity = Once(self._identify)
        # its tokenizers are not made for several threads: "RuntimeError: Already borrowed"
        self._lock = Lock()

    @property
    def dim(self) -> int:
        """How many numbers a vector has, as the model says."""
        return int(self._model().get_embedding_dimension())

    @property
    def fingerprint(self) -> str:
        """The model's last name, a hash over samples of all its weights, its prompts and its limits.

        So the same weights have the same fingerprint wherever they lie, and a new revision has its own.
        """
        return self._identity()

    def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """One unit row per text; the zero row for a blank one.

        Raises:
            EmbedderError: the model cannot be loaded, or failed.
        """
        ready = prepared(texts, kind, max_chars=self._max_chars)
        model = self._model()
        rows = np.zeros((len(ready), self.dim), dtype=np.float32)
        places = [place for place, text in enumerate(ready) if text]
        for start in range(0, len(places), self._batch_size):
            batch = places[start : start + self._batch_size]
            rows[batch] = self._encode(model, [ready[place] for place in batch], kind)
        return unit_rows(rows, source=self._name)

    def _encode(self, model: Any, texts: list[str], kind: Kind) -> NDArray[np.float32]:  # noqa: ANN401
        encode = model.encode_query if kind == "query" else model.encode_document
        with self._lock:
            if self._model.inherited:
                # torch's thread pool stayed with the parent: a second thread would be waited for, for ever
                import_module("torch").set_num_threads(1)
            try:
                vectors: NDArray[np.float32] = encode(
                    texts,
                    prompt=self._prompt(model, kind),
                    batch_size=self._batch_size,
                    show_progress_bar=False,
                )
            except Exception as error:
                raise EmbedderError(f"{self._name} failed to embed {len(texts)} texts: {error}") from error
        return vectors

    def _prompt(self, model: Any, kind: Kind) -> str:  # noqa: ANN401
        # left to itself, the library takes its own empty "document" before the model's "passage"
        if (asked := self._prompts[kind]) is not None:
            return asked
        defined: dict[str, str] = model.prompts
        return next((defined[name] for name in _PROMPTS[kind] if defined.get(name)), "")

    def _load(self) -> Any:  # noqa: ANN401
        library = import_module("sentence_transformers")
        with _no_progress_bar():
            try:
                return library.SentenceTransformer(
                    self._name,
                    revision=self._revision,
                    device=self._device,
                    local_files_only=not self._download,
                )
            except Exception as error:
                raise EmbedderError(self._trouble()) from error

    def _trouble(self) -> str:
        if self._download:
            return f"The model {self._name!r} could not be loaded or downloaded."
        return (
            f"The model {self._name!r} could not be loaded from this disk, and nothing is downloaded unasked."
            " Pass the folder it lies in, or allow the download once:"
            f" SentenceTransformersEmbedder({self._name!r}, download=True)"
        )

    def _identify(self) -> str:
        model = self._model()
        digest = blake2b(digest_size=8)
        for name, weights in sorted(model.state_dict().items()):
            flat = weights.reshape(-1)
            sample = flat[:: max(1, len(flat) // _SAMPLE)].float().cpu().numpy()
            digest.update(f"{name} {tuple(weights.shape)} {weights.dtype}".encode() + sample.tobytes())
        settings = (sorted(model.prompts.items()), self._prompts, model.max_seq_length, self._max_chars)
        digest.update(repr(settings).encode())
        return f"{Path(self._name).name}/{digest.hexdigest()}"


@contextmanager
def _no_progress_bar() -> Generator[None]:
    """Keep "Loading weights: 100%" out of the program's stderr."""
    logging = import_module("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
