"""The weights of the ranking, and why each is what it is; every step can be changed or switched off here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Weights of the ranking. Few, fixed, the same for everybody; 0 switches a step off.

    Scores are in standard deviations over the user's own turns, so weights mean the same in every memory.

    Attributes:
        k1, b: BM25 as Robertson and Zaragoza (2009) have it. 1.2 and .75 are the usual values; they
            were not tuned.
        pair: Share of the lexical score that comes from a turn together with the one before it, the
            rest from its best passage: an answer often shares its words with the question before it.
        previous, next, second_previous, second_next: What a turn takes from the lexical scores of its
            neighbours in the session. What follows a match answers it more often than what leads up to
            it.
        dense, lexical: The union. Sums of z-scores rather than of ranks: where one side is blind (BM25
            across languages) its scores are flat and stay out of the way, while its ranks would be
            noise at full weight.
        dense_session: What a turn's cosine takes from the best three of its session.
        session: The same for the joint score: sessions have topics.
        few_turns: Below this many turns, ranks stand for z-scores: deviations of a handful say nothing.
        coherence_low, coherence_high: Neighbours and sessions count in proportion to how coherent the
            memory is, from nothing at the low mark (unordered facts) to full weight at the high mark.
        speaker: People: for turns of the one speaker whom the question names.
        month: For turns within a time that the question names.
        asking: People: against turns that ask. Between user and assistant a question is often the evidence.
        user: Assistant: for the user's own turns, when the message looks back.
        user_forward: The same when it does not.
        reply: Assistant, where a question asks what the assistant said: for replies, in place of `user`.
        recent: Assistant, not looking back: for sessions that are on topic, fading with `recent_sessions`.
            A message that asks nothing goes on with what is under way.
        recent_asked: The same for questions: they may be about anything.
        recent_sessions: Sessions after which that has fallen to a third.
        prefers: Assistant, not looking back: for turns in which the user states a preference. They are few,
            and advice that ignores them is wrong, whatever words it shares with them.
        round: Assistant, broad questions (see `breadth`): share of a turn's score that comes from the other
            half of its round. It takes the place of neighbours and sessions, which draw everything to one
            place. 0 treats broad questions like all others.
        early: Assistant, summaries and orders: for what stands early in its session, most for its beginning.
        context: Assistant: weight of the running session beside the message: of the words of its last
            two turns, and of the vector of the very last.
        alike: Questions about the present: from which cosine on (less the mean) a newer turn brings an older
            one of the same speaker up to date and goes before it. 0 leaves the order to the scores.
        shortest: Turns with fewer distinct terms than this ("Thanks!") are never recalled.
        longest_query: Terms of the question that count, rarest first.
        longest_query_wide: The same for Chinese, Japanese and Korean, where each character makes two terms.
    """

    k1: float = 1.2
    b: float = 0.75
    pair: float = 0.5
    previous: float = 0.15
    next: float = 0.20
    second_previous: float = 0.08
    second_next: float = 0.15
    dense: float = 0.55
    lexical: float = 0.45
    dense_session: float = 0.5
    session: float = 0.3
    few_turns: int = 20
    coherence_low: float = 0.6
    coherence_high: float = 1.2
    speaker: float = 1.0
    month: float = 2.0
    asking: float = 1.0
    user: float = 1.5
    user_forward: float = 1.0
    reply: float = 0.5
    recent: float = 1.5
    recent_asked: float = 0.75
    recent_sessions: float = 10.0
    prefers: float = 3.0
    round: float = 0.3
    early: float = 1.5
    context: float = 0.3
    alike: float = 0.4
    shortest: int = 1
    longest_query: int = 128
    longest_query_wide: int = 256
