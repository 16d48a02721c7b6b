"""What a message is like when it has nothing to do with a text: cosines with everyday sentences.

A cosine alone says little: those of e5 lie near .8 for any two texts, those of others near .1. How far a turn
lies above what unrelated sentences of its language reach with the same message means the same for every
embedder, whatever the memory is about. This is the score normalisation of speaker verification: Z-norm on the
side of the message, T-norm on that of the turn, with a fixed cohort (Auckenthaler et al. 2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convmem.recall.fuse import Floats

_ENGLISH: Final = """\
It rained all morning, so we stayed inside.
The bus was ten minutes late again.
I had soup and a piece of bread for lunch.
My cousin is learning to play the drums.
Can you help me to word a short note to my landlord?
The doctor said that I should drink more water.
We watched an old film about a lighthouse keeper.
Sure, here is a simple plan that you can follow step by step.
The shop on the corner closes at eight.
I forgot my password and had to set a new one.
Our team won the match in the last minute.
She wants to study law after school.
The washing machine makes a strange noise.
How long should I boil an egg?
I am thinking about getting a second job.
The river was frozen when we were children.
You could try to go to bed a little earlier.
My phone battery is empty by noon.
The teacher gave us a lot of homework.
They are getting married in a small church.
I would rather walk than take the car.
The price of coffee has gone up once more.
Thank you, that was a useful explanation.
He broke his arm when he fell off a ladder.
What is a good present for a ten-year-old?
The meeting was moved to another room.
I need to renew my passport before the summer.
There is a strange smell in the cellar.
We grow beans and carrots behind the house.
The book was too long, but I liked the ending.
Most of the money went into the new roof.
I felt nervous before the interview, and then it went well."""

_CHINESE: Final = """\
下了一上午的雨，我们就待在家里了。
公交车又晚了十分钟。
我中午喝了汤，吃了一块面包。
我堂弟在学打鼓。
能帮我给房东写张便条吗？
医生说我应该多喝水。
我们看了一部讲守灯塔的老电影。
当然可以，下面是一个简单的计划，你可以一步一步来。
街角那家店八点关门。
我忘了密码，只好重新设了一个。
我们队最后一分钟赢了比赛。
她毕业以后想学法律。
洗衣机有奇怪的声音。
鸡蛋要煮多久？
我在考虑再找一份工作。
我们小时候这条河结过冰。
你可以试试早一点睡觉。
我的手机到中午就没电了。
老师给我们留了很多作业。
他们要在一个小教堂里结婚。
比起开车我更愿意走路。
咖啡的价格又涨了。
谢谢，你解释得很清楚。
他从梯子上摔下来，把胳膊摔断了。
送十岁的孩子什么礼物好？
会议改到另一个房间了。
夏天之前我得换一本新护照。
地下室里有一股怪味。
我们在屋后种了豆角和胡萝卜。
这本书太长了，不过结尾我很喜欢。
大部分的钱都花在新屋顶上了。
面试前我很紧张，后来倒挺顺利。"""

SENTENCES: Final = tuple(_ENGLISH.splitlines()), tuple(_CHINESE.splitlines())
"""Thirty-two in English, the same in Chinese: a little of everything, said by either side."""

_EACH: Final = len(SENTENCES[0])
_CHANCE: Final = 0.9
"""Of the everyday sentences, the share that comes no nearer to any other than what counts as chance: of 32
values the highest few are pairs that do have something to do with each other.
"""
_CANDIDATES: Final = 512
"""Turns, the nearest first, that are looked at from their side too; the best one is among them."""
_FLAT: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """The everyday sentences as one embedder sees them.

    Attributes:
        passages, queries: Their unit vectors as turns and as messages, [2, 32, dim]: English, then Chinese.
        chance: How near the best of so many unrelated turns comes, [language of the message, of the turns].
    """

    passages: NDArray[np.float32]
    queries: NDArray[np.float32]
    chance: NDArray[np.float64]

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.passages.shape[2])

    @staticmethod
    def of(passages: NDArray[Any], queries: NDArray[Any]) -> Cohort | None:
        """Take the vectors of all `SENTENCES`, English first; None when they tell nothing apart.

        What counts as chance is read off the sentences themselves, so that it holds for any embedder: each
        in turn is the message, the others are a memory that has nothing to do with it (and the cohort by
        which it is judged). Nine of ten such messages stay below `chance`.
        """
        sides = [np.asarray(rows, dtype=np.float32).reshape(2, _EACH, -1) for rows in (passages, queries)]
        if not all(np.isfinite(side).all() for side in sides):
            return None
        said, asked = (side / np.maximum(np.linalg.norm(side, axis=2, keepdims=True), 1e-9) for side in sides)
        chance = np.empty((2, 2))
        for one, message in enumerate(asked):
            for other, turns in enumerate(said):
                best = _left_out(message @ turns.T)
                if best is None:
                    return None
                chance[one, other] = max(1.0, float(np.quantile(best, _CHANCE)))
        return Cohort(said, asked, chance)

    def nearness(
        self,
        vectors: NDArray[Any],
        *,
        wide: bool,
        matrix: NDArray[np.float32],
        turns_wide: NDArray[np.bool_],
    ) -> float:
        """How near the nearest turn is to a message: 1 is what the best of as many unrelated ones reaches.

        A turn is as near as it is from both sides: above what the message reaches with everyday sentences,
        and above what the turn reaches with everyday messages (some turns are near to everything). Maxima of
        n draws grow as the square root of ln n, and chance with them; with fewer turns than it was read off,
        it stays: maxima of a handful follow no such law, and one odd pair would pass.

        Args:
            vectors: the message's, [k, dim].
            wide: whether the message is Chinese, Japanese or Korean.
            matrix: the turns' unit vectors.
            turns_wide: which of them are in such a language.
        """
        if not len(matrix):
            return 0.0
        message = np.atleast_2d(np.asarray(vectors, dtype=np.float32)).mean(axis=0)
        message = message / max(float(np.linalg.norm(message)), 1e-9)
        cosines = (matrix @ message).astype(np.float64)
        many = np.sqrt(np.log(max(len(matrix), _EACH - 1)) / np.log(_EACH - 1))
        best = 0.0
        for language in range(2):
            rows = np.flatnonzero(turns_wide == bool(language))
            if not rows.size:
                continue
            usual = (self.passages[language] @ message).astype(np.float64)
            from_message = (cosines[rows] - usual.mean()) / max(float(usual.std()), _FLAT)
            if rows.size > _CANDIDATES:
                nearest = np.argpartition(-from_message, _CANDIDATES)[:_CANDIDATES]
                rows, from_message = rows[nearest], from_message[nearest]
            others = (matrix[rows] @ self.queries[int(wide)].T).astype(np.float64)
            from_turn = (cosines[rows] - others.mean(axis=1)) / np.maximum(others.std(axis=1), _FLAT)
            both_sides = float(np.minimum(from_message, from_turn).max())
            best = max(best, both_sides / (float(self.chance[int(wide), language]) * float(many)))
        return best


def _left_out(cosines: NDArray[np.float32]) -> Floats | None:
    """For each sentence how near the nearest of the others comes; None where all are alike.

    A sentence's own place among the turns, where its translation stands in the other language, is left out.
    """
    apart = cosines.astype(np.float64)
    np.fill_diagonal(apart, np.nan)
    sides: list[Floats] = []
    for axis in (1, 0):
        deviation = np.nanstd(apart, axis=axis, keepdims=True)
        if float(deviation.min()) < _FLAT:
            return None
        sides.append((apart - np.nanmean(apart, axis=axis, keepdims=True)) / deviation)
    best: Floats = np.nanmax(np.minimum(*sides), axis=1)
    return best
