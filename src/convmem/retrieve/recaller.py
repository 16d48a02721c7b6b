"""Recalls turns for a question: embeds it, loads the owner's partition, ranks its turns and packs them.

In call order: `call.exchange` begins with `ask_soon`, beside the journal step; `context.compose` then takes
`load_sound`, `vectors_of`, `rank` and `pack`. `direct.search` uses the same steps without a deadline.
"""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import Future
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from convmem.errors import StoreError, noted
from convmem.hooks import DegradedEvent, HealedEvent
from convmem.protocols import SessionRef, TurnsRequest
from convmem.retrieve.indexer import Indexer
from convmem.retrieve.partitions import Loaded, Partitions
from convmem.threads.locks import Lock, reckoning
from convmem.wire.quoting import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime, tzinfo

    import numpy as np
    from numpy.typing import NDArray

    from convmem.abilities import OwnerRef
    from convmem.embed.cache import CachedEmbedder
    from convmem.embed.protocol import Embedder
    from convmem.hooks import Hook
    from convmem.journal.writer import Journal
    from convmem.protocols import Store
    from convmem.recall import Packed, Ranking, Settings
    from convmem.retrieve.partitions import Changed
    from convmem.threads.lanes import Lanes
    from convmem.types import Turn

__all__ = ["Asked", "Question", "Recaller"]

_EMBED_THREADS = 2
"""Questions that `threads.lanes` embeds at once, while no summary is made and no turns are embedded."""
_QUERY_CHARACTERS = 320
"""Characters of a question that are embedded, its first. More take longer within the deadline; the beginning
mostly has the question."""
_ASKED_CHARACTERS = 4_000
"""Characters of a long message that are searched with at its beginning, and again at its end: a question
about a pasted text stands before or after it, and of all words only the rarest few dozen count anyway."""
_READ_HITS = 64
"""Hits whose texts are read with one read, with those of the rules: as many as packing looks at at a time."""
_PACE_WEIGHT = 0.3
"""Weight of the newest question in the running estimate of the embedder's pace, between 0 and 1: four slow
ones in a row count for three quarters of the estimate."""
_FIRST_PACE_S = 0.25
"""Seconds that a question is assumed to take before one was embedded; `local` takes .03 s on an idle core."""
_REMEMBERED_S = 0.001
"""Seconds below which the vector came from the cache, and says nothing about the embedder's pace."""
_OUTGROWN_OWNERS = 1_000
"""Owners remembered because turns of theirs were taken in since they were asked about last; a partition of
those before them is hardly held any more, and is loaded with all there is."""
_WARMING = "Good morning."
"""The text that is embedded to have the model loaded before the first question."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question to an owner's memory.

    Attributes:
        owner: whose memory.
        text: the newest message of a call, or the question of a search.
        context: texts of the turns before the message, newest last.
        session: the running session; None without one.
        path: identities of the turns of the running conversation, as it stands for this call.
        exclude: ids of turns that the model sees anyway.
        within: recall only from these sessions; None for all.
        now: the time of the question, in the zone in which dates are shown.
        top_k: the most turns to rank.
        searching: somebody called `search`: small talk is searched for, too.
    """

    owner: OwnerRef
    text: str
    now: datetime
    context: tuple[str, ...] = ()
    session: str | None = None
    path: Collection[bytes] = ()
    exclude: Collection[str] = ()
    within: Collection[str] | None = None
    top_k: int = 200
    searching: bool = False


class Asked(NamedTuple):
    """The work that a call has begun for its recall, which goes on beside the journal step.

    Attributes:
        loading: the load of the owner's partition; None when the partition is in memory.
        vectors: the embedding of the question; None without an embedder, or while it is too far behind.
    """

    loading: Future[Loaded] | None = None
    vectors: Future[NDArray[np.float32]] | None = None

    @property
    def loaded(self) -> bool:
        """Whether the partition is in memory."""
        return self.loading is None or self.loading.done()

    @property
    def ready(self) -> bool:
        """Whether the partition and the vectors are there, so that recall waits for nothing."""
        return all(future is None or future.done() for future in self)

    def wait(self) -> Asked:
        """Wait for the partition and the vectors, as long as it takes."""
        for future in (self.loading, self.vectors):
            if future is not None:
                future.exception()
        return self


class Recaller:
    """Recalls for all calls of one Memory: it holds the partitions, the indexer and the embedder.

    Args:
        store: keeps turns and views.
        embedder: makes vectors; None recalls by words alone.
        lanes: the threads on which partitions are loaded and questions are embedded.
        settings: weights of the ranking; None for those shipped.
        deadline_s: seconds for which a call waits for recall.
        tell: told of what the indexer does, and of questions that cannot be embedded in time.
        journal: writes the views that the indexer makes.

    Attributes:
        overdue: turns could not be ranked in time for the call before, so the next call waits less for that.
    """

    def __init__(
        self,
        store: Store,
        embedder: Embedder | None,
        lanes: Lanes,
        *,
        settings: Settings | None,
        deadline_s: float,
        tell: Hook,
        journal: Journal,
    ) -> None:
        # Import recall when a Memory is opened, not in its first call: that has a deadline, and numpy alone
        # would take a third of it. `fingerprint` reads the stemmer and the table of characters, for the same
        # reason.
        import_module("convmem.recall")
        import_module("convmem.recall.analyze").fingerprint()

        self._store = store
        self._embedder: CachedEmbedder | None = None
        if embedder is not None:
            from convmem.embed.cache import CachedEmbedder  # noqa: PLC0415 (numpy only when there are vectors)

            self._embedder = CachedEmbedder(embedder)
        self.settings = settings
        self.partitions = Partitions(store, embedder.fingerprint if embedder is not None else None)
        self.indexer = Indexer(store, embedder, lanes, tell=tell, journal=journal)
        self._pool, self._loads = lanes.embed, lanes.load
        self._tell = tell
        self._deadline_s = deadline_s
        self._late = f"the question was not embedded within {deadline_s * 1_000:.0f} ms"
        self._pace_s: float | None = None
        self.overdue = False
        self._in_trouble = False
        self._begin()

    def _begin(self) -> None:
        self._lock = Lock()
        self._loading: dict[OwnerRef, Future[Loaded]] = {}
        self._waiting: dict[OwnerRef, list[float]] = {}
        self._outgrown: dict[OwnerRef, int] = {}
        self._embedding = 0

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._begin()
        self.partitions.after_fork()
        self.indexer.after_fork()

    def forget(self) -> None:
        """Drop the partitions and the remembered vectors, for something was forgotten."""
        self.partitions.drop()
        if self._embedder is not None:
            self._embedder.clear()

    def took_in(self, owners: Collection[OwnerRef]) -> None:
        """Turns were journaled beside the calls, as an import does: their views are made.

        They may bring people whom a partition that is held does not know.
        """
        request = self.indexer.wake()
        with self._lock:
            for owner in owners:
                self._outgrown.pop(owner, None)
                self._outgrown[owner] = request
            while len(self._outgrown) > _OUTGROWN_OWNERS:
                del self._outgrown[next(iter(self._outgrown))]

    def finish(self, timeout: float | None) -> None:
        """Before the close: have the turns that this process wrote found by their words."""
        self.indexer.finish(timeout)

    def close(self, timeout: float | None) -> bool:
        """Stop the indexer; False when that took longer than `timeout` seconds."""
        return self.indexer.close(timeout)

    def warm(self, owner: OwnerRef | None) -> None:
        """Load an owner's partition and the embedding model in the background, before the first call."""
        self.load_soon(owner)
        if self._embedder is not None and self._pace_s is None:
            self.embed_soon(_WARMING, None)

    def ask_soon(self, text: str, owner: OwnerRef | None, *, as_held: bool = False) -> Asked:
        """Begin to load the owner's partition and to embed a question.

        Args:
            text: the question; an empty one is not embedded.
            owner: whose memory; None where only the journal can tell.
            as_held: take the names of the owner's people from the partition as it is in memory, unless turns
                were taken in since, because the call reads what changed of it later, with everything else;
                False brings it up to date first. An import by another process is known to the call after the
                next one.
        """
        loading = self.load_soon(owner, waits=True)
        if not text.strip():
            return Asked(loading, None)
        return Asked(loading, self.embed_soon(text, owner, after=loading, as_held=as_held))

    def load_soon(self, owner: OwnerRef | None, *, waits: bool = False) -> Future[Loaded] | None:
        """Begin to load an owner's partition, once for all who ask.

        Args:
            owner: whose partition; None where only the journal can tell.
            waits: a call waits for the load, until its deadline, so other calls do not hold it up.

        Returns:
            The load; None when the partition is in memory.
        """
        if owner is None or self.partitions.holds(owner):
            return None
        with self._lock:
            if waits:
                self._waiting.setdefault(owner, []).append(time.monotonic() + self._deadline_s)
            known = self._loading.get(owner)
            if known is not None:
                return known
            loading = self._loading[owner] = self._loads.submit(
                lambda: self.partitions.get(owner, own=lambda: self._waiting_for(owner))
            )
        loading.add_done_callback(lambda _: self._has_loaded(owner))
        return loading

    def _has_loaded(self, owner: OwnerRef) -> None:
        with self._lock:
            self._loading.pop(owner, None)
            self._waiting.pop(owner, None)

    def _waiting_for(self, owner: OwnerRef) -> int:
        """How many calls wait for the load of an owner's partition."""
        now = time.monotonic()
        return sum(until > now for until in tuple(self._waiting.get(owner, ())))

    @property
    def expected_s(self) -> float:
        """Seconds until the next question would be embedded, behind those that wait already."""
        pace = self._pace_s if self._pace_s is not None else _FIRST_PACE_S
        return pace * (1 + self._embedding / _EMBED_THREADS)

    def embed_soon(
        self,
        text: str,
        owner: OwnerRef | None,
        *,
        after: Future[Loaded] | None = None,
        as_held: bool = False,
    ) -> Future[NDArray[np.float32]] | None:
        """Begin to embed a question, without the names of the owner's people (`recall.query_text`).

        An embedder that is too slow for the deadline is still asked one question at a time: that is how the
        running estimate learns that it has become quicker.

        Args:
            text: the question.
            owner: whose memory; None where only the journal can tell.
            after: the load of the owner's partition, which has the people's names; None when it is in memory.
            as_held: take the names from the partition as it is in memory, without a read of the store.

        Returns:
            The embedding; None without an embedder, and while the questions before it need the whole
            deadline.
        """
        embedder = self._embedder
        if embedder is None:
            return None
        self.indexer.want_cohort()
        with self._lock:
            if self._embedding and self.expected_s > self._deadline_s:
                return None
            self._embedding += 1
        short = text[:_QUERY_CHARACTERS]
        vectors: Future[NDArray[np.float32]] = Future()

        def begin(_: object = None) -> None:
            self._pool.submit(lambda: self._embed(embedder, short, owner, vectors, as_held=as_held))

        if after is None:
            begin()
        else:  # by a callback, so that no thread that embeds waits for a large memory to be read
            after.add_done_callback(begin)
        return vectors

    def _embed(
        self,
        embedder: CachedEmbedder,
        text: str,
        owner: OwnerRef | None,
        vectors: Future[NDArray[np.float32]],
        *,
        as_held: bool,
    ) -> None:
        try:
            asking = self._asking(text, owner, as_held=as_held)
            started = time.perf_counter()
            found = embedder.embed([asking], "query")
            took = time.perf_counter() - started
        except BaseException as error:  # noqa: BLE001 (handed to whoever waits)
            with self._lock:
                self._embedding -= 1
            vectors.set_exception(error)
            return
        with self._lock:
            self._embedding -= 1
            if took > _REMEMBERED_S:
                before = self._pace_s
                self._pace_s = took if before is None else before + _PACE_WEIGHT * (took - before)
        vectors.set_result(found)

    def _asking(self, text: str, owner: OwnerRef | None, *, as_held: bool) -> str:
        """The question as it is embedded: without the names of the owner's people."""
        from convmem.recall import query_text  # noqa: PLC0415 (numpy only when recall is used)

        if owner is None:
            return text
        outgrown = self._outgrown.get(owner)
        whole = outgrown is not None and self.indexer.has_words(outgrown)  # before the partition is read
        loaded = self.partitions.peek(owner) if as_held and outgrown is None else None
        try:
            if loaded is None:
                loaded = self.partitions.get(owner)
            partition = loaded.partition
            if whole:
                self._has_grown(owner, outgrown)
        except StoreError:  # the load of the partition to search it fails too, and tells
            partition = None
        return query_text(partition, text) if partition is not None else text

    def _has_grown(self, owner: OwnerRef, request: int | None) -> None:
        """The partition that is held has what was taken in; more may have been since."""
        with self._lock:
            if self._outgrown.get(owner) == request:
                self._outgrown.pop(owner, None)

    def vectors_of(
        self, embedding: Future[NDArray[np.float32]] | None, *, wanted: bool = True
    ) -> tuple[NDArray[np.float32] | None, str]:
        """The vectors of a question, and a note when there are none: the embedder was too slow, or failed.

        One event tells when that begins, and one when it ends.

        Args:
            embedding: the embedding of the question; nobody waits for it here.
            wanted: False where there was nothing to embed, which is no trouble.
        """
        if self._embedder is None or not wanted:
            return None, ""
        if embedding is None:
            return None, self._troubled("the embedder is slow: recalled by words alone")
        if not embedding.done():
            return None, self._troubled(f"{self._late}: recalled by words alone")
        if (error := embedding.exception()) is not None:
            note = f"the embedder failed ({error}): recalled by words alone"
            return None, self._troubled(noted(note, error))
        with self._lock:
            healed, self._in_trouble = self._in_trouble, False
        if healed:
            self._tell(HealedEvent(detail="questions are embedded again"))
        return embedding.result(), ""

    def _troubled(self, note: str) -> str:
        """Tell of trouble with the embedder, if it is new; returns the note."""
        with self._lock:
            known, self._in_trouble = self._in_trouble, True
        if not known:
            self._tell(DegradedEvent(detail=note))
        return note

    def load(self, owner: OwnerRef) -> Loaded:
        """The owner's partition; the indexer makes its damaged entries again."""
        return self.load_sound(owner)[0]

    def load_sound(self, owner: OwnerRef, changed: Changed | None = None) -> tuple[Loaded, int]:
        """The owner's partition, and how many entries it lacks because they are damaged.

        Args:
            owner: whose memory.
            changed: the rows of the owner's views that the call has read already.
        """
        loaded = self.partitions.get(owner, changed)
        damaged, loaded.damaged = loaded.damaged, ()
        if damaged:
            self.indexer.wake(damaged)
        return loaded, len(damaged)

    def rank(self, loaded: Loaded, question: Question, vectors: NDArray[Any] | None) -> Ranking:
        """Rank the owner's turns for the question; the `why` of those that were edited away says so.

        Words that were edited away never come back into the session in which that was done, unless somebody
        searches.
        """
        from convmem.recall import Query, Ranking, search  # noqa: PLC0415 (numpy only when recall is used)
        from convmem.recall.analyze import digest  # noqa: PLC0415
        from convmem.recall.entry import analyzed  # noqa: PLC0415

        if loaded.partition is None or not len(loaded.partition):
            return Ranking((), (), "empty", 0.0)
        left = loaded.left_behind(question.session, question.path)
        edited, hidden = left.edited, left.replaced
        if question.searching:
            edited = edited | left.taken_back
        else:
            hidden = hidden | left.taken_back
        if question.owner.user is None:  # nobody vouches that the other branch is the same person's
            edited, hidden = set[str](), edited | hidden
        asked = _ends(question.text)
        query = Query(
            asked,
            vectors=vectors,
            now=question.now,
            session=question.session,
            context=tuple(map(_ends, question.context)),
            exclude={*question.exclude, *hidden},
            within=question.within,
            top_k=question.top_k,
            small_talk=question.searching,
            cohort=self.indexer.cohort,
            digest=None if asked == question.text else digest(analyzed(question.text)),
        )
        settings = {} if self.settings is None else {"settings": self.settings}
        with reckoning:
            ranking = search(loaded.partition, query, **settings)
        if not edited:
            return ranking
        hits = tuple(
            dataclasses.replace(hit, why=(*hit.why, "edited away")) if hit.id in edited else hit
            for hit in ranking.hits
        )
        # A rule is quoted whatever is asked; one that was edited away holds no longer.
        standing = tuple(hit for hit in ranking.standing if hit.id not in edited)
        return dataclasses.replace(ranking, hits=hits, standing=standing)

    def pack(
        self,
        owner: OwnerRef,
        ranking: Ranking,
        budget: int,
        count: Callable[[str], int],
        *,
        fence: int,
        tz: tzinfo,
    ) -> Packed:
        """Fill a budget with the best turns, each line naming speaker and turn.

        Args:
            owner: whose turns.
            ranking: the ranked turns.
            budget: the most tokens of the block, its fence included.
            count: counts tokens.
            fence: tokens of the block around the quotations.
            tz: the zone in which dates are shown.
        """
        from convmem.recall import pack  # noqa: PLC0415 (numpy only when recall is used)

        named = dataclasses.replace(
            ranking,
            hits=tuple(dataclasses.replace(hit, speaker=_label(hit)) for hit in ranking.hits),
            standing=tuple(dataclasses.replace(hit, speaker=_label(hit)) for hit in ranking.standing),
        )

        first = [hit.id for hit in (*named.standing, *named.hits[:_READ_HITS])]
        known: dict[str, str] = {}

        def texts(ids: Sequence[str]) -> Mapping[str, str]:
            if any(id_ not in known for id_ in ids):  # turns that are gone are read again, and not found
                wanted = dict.fromkeys([*ids, *(first if not known else ())])
                known.update((turn.id, turn.text) for turn in self.turns(owner, list(wanted)).values())
            return {id_: known[id_] for id_ in ids if id_ in known}

        return pack(named, texts, budget, count, fence=fence, tz=tz)

    def turns(self, owner: OwnerRef, ids: Sequence[str]) -> dict[str, Turn]:
        """The turns of an owner with these ids, by id; those that are gone are left out."""
        seqs = tuple(int(id_[1:]) for id_ in ids)
        ref = SessionRef(None, owner.session) if owner.session is not None else None
        rows = self._store.turns(TurnsRequest(ref=ref, owner=owner.user, seqs=seqs, limit=len(seqs)))
        return {turn.id: turn for turn in rows}


def _ends(text: str) -> str:
    """A text; of one longer than 8,000 characters the first and the last 4,000."""
    if len(text) <= 2 * _ASKED_CHARACTERS:
        return text
    return f"{text[:_ASKED_CHARACTERS]}\n{text[-_ASKED_CHARACTERS:]}"


def _label(hit: Any) -> str:  # noqa: ANN401 (a recall.Hit; naming it would import numpy)
    """The speaker and the id of a quoted turn, and whether it was edited away or is superseded."""
    who = f"{one_line(hit.speaker or '') or hit.role} {hit.id}"
    if "edited away" in hit.why:
        return f"{who} (edited away)"
    return f"{who} (older)" if "superseded" in hit.why else who
