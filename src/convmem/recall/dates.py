"""Times named in a question, as intervals: "in May 2023", "last March", 去年三月, 上周五, 5月3号, 2024-05-03.

Only for boosts. What is not understood is left out; what is ambiguous gives several intervals.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, TypeAlias

from convmem.recall.analyze import fold


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Half-open, in seconds since the epoch."""

    start: float
    end: float


_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH: Final = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY: Final = (
    r"(?P<weekday>mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:r(?:s(?:day)?)?)?|fri(?:day)?"
    r"|sat(?:urday)?|sun(?:day)?)"
)
_DIGITS: Final = {
    "零": 0,
    "〇": 0,
    "一": 1,
    "二": 2,
    "两": 2,
    "三": 3,
    "四": 4,
    "五": 5,
    "六": 6,
    "七": 7,
    "八": 8,
    "九": 9,
}
_NUMBER: Final = r"(?:\d{1,4}|[一二两三四五六七八九十]{1,3})"
_WORDS: Final = {
    "a": 1, "an": 1, "one": 1, "two": 2, "couple of": 2, "a couple of": 2, "three": 3, "few": 3, "a few": 3,
    "several": 4,
    "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12,
}  # fmt: skip
_COUNT: Final = rf"(?P<count>\d{{1,3}}|{'|'.join(sorted(_WORDS, key=len, reverse=True))})"
_UNIT_DAYS: Final = {
    "day": 1,
    "week": 7,
    "month": 30,
    "year": 365,
    "天": 1,
    "日": 1,
    "周": 7,
    "星期": 7,
    "个星期": 7,
    "个月": 30,
    "月": 30,
    "年": 365,
}

_PATTERNS: Final = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("ymd", r"(?P<year>(?:19|20)\d\d)[-/.](?P<m>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)"),
        ("ymd", r"(?P<year>(?:19|20)\d\d)年\s?(?P<m>\d{1,2})月(?:\s?(?P<day>\d{1,2})[日号]?)?"),
        ("ymd", r"(?<!\d)(?P<year>(?:19|20)\d\d)-(?P<m>\d{2})(?![\d-])"),
        (
            "month",
            rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH}\b\.?(?:,? (?P<year>(?:19|20)\d\d))?",
        ),
        (
            "month",
            (
                r"\b(?:(?P<which>last|this|past|previous) "
                r"|(?P<sure>in|during|since|of|early|late|mid|by|until|before|after|around)[ -])?"
                rf"{_MONTH}\b\.?(?: (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?!\d))?"
                r"(?:,? (?:of )?(?P<year>(?:19|20)\d\d))?"
            ),
        ),
        ("zh", rf"(?P<which>去年|前年|今年|明年)?(?:的)?(?P<m>{_NUMBER})月份?(?:(?P<day>{_NUMBER})[日号])?"),
        ("season", r"\b(?P<season>spring|summer|autumn|fall|winter)\b(?: (?:of )?(?P<year>(?:19|20)\d\d))?"),
        (
            "zhyear",
            r"(?P<which>去年|前年|今年)(?:的?(?P<season>春|夏|秋|冬)[天季])?(?!的?[\d一二三四五六七八九十]+月)",
        ),
        (
            "year",
            r"(?:\bin |\bduring |\bof )(?P<year>(?:19|20)\d\d)(?![-/\d])|(?P<year2>(?:19|20)\d\d)年(?!\s?\d)",
        ),
        ("weekday", rf"\b(?P<which>last|this|past|on) {_WEEKDAY}\b"),
        ("zhweekday", r"(?P<which>上上|上个?|这个?|本)?(?:周|星期|礼拜)(?P<weekday>[一二三四五六日天末])"),
        ("period", r"\b(?P<which>last|this|past|previous) (?P<unit>week|month|year|weekend|night)\b"),
        (
            "zhperiod",
            r"(?P<which>上上个?|上个?|这个?|本)(?P<unit>周(?![一二三四五六日天末])|星期(?![一二三四五六日天])|月)",
        ),
        ("ago", rf"\b{_COUNT} (?P<unit>day|week|month|year)s? (?:ago|back|earlier)\b"),
        ("zhago", rf"(?P<count>{_NUMBER})(?P<unit>天|日|周|个?星期|个月|年)(?:前|之前|以前)"),
        (
            "near",
            (
                r"\b(?P<near>yesterday|today|recently|lately|the other day)\b"
                r"|(?P<near2>昨天|昨晚|前天|今天|最近|近来|前几天)"
            ),
        ),
    )
)


def intervals(text: str, now: datetime) -> tuple[Interval, ...]:
    """Return the times a text names, relative to `now` (aware) and in its time zone.

    A month without a year is the one of each of the last three years: a boost can afford to be generous.
    """
    folded = fold(text)
    zone = now.tzinfo or UTC
    today = now.date()
    found: set[Interval] = set()
    taken: list[tuple[int, int]] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(folded):
            if any(match.start() < end and start < match.end() for start, end in taken):
                continue
            try:
                spans = _SPANS[kind](match.groupdict(), today)
            except (ValueError, OverflowError, KeyError):  # 31 June, the year 0, 十十
                continue
            if spans:
                taken.append(match.span())
                found.update(_interval(first, last, zone) for first, last in spans)
    return tuple(sorted(found))


_Found: TypeAlias = dict[str, str | None]
_Days: TypeAlias = list[tuple[date, date]]


def _interval(first: date, last: date, zone: tzinfo) -> Interval:
    start = datetime.combine(first, time(), zone)
    end = datetime.combine(last + timedelta(days=1), time(), zone)
    return Interval(start.timestamp(), end.timestamp())


def _month_span(year: int, month: int) -> tuple[date, date]:
    return date(year, month, 1), date(year, month, monthrange(year, month)[1])


def _in_years(years: list[int], month: int, day: str | None) -> _Days:
    if day is None:
        return [_month_span(year, month) for year in years]
    number = _chinese(day)
    days = [date(year, month, number) for year in years if number <= monthrange(year, month)[1]]
    return [(one, one) for one in days]


def _latest_years(today: date, month: int) -> list[int]:
    latest = today.year if month <= today.month else today.year - 1
    return [latest, latest - 1, latest - 2]


def _ymd(found: _Found, today: date) -> _Days:
    del today
    return _in_years([int(found["year"] or 0)], int(found["m"] or 0), found.get("day"))


def _english_month(found: _Found, today: date) -> _Days:
    name = found["month"] or ""
    month = _MONTHS.index(name[:3]) + 1
    day, year, which = found.get("day"), found.get("year"), found.get("which")
    if name in {"may", "mar", "march"} and not (day or year or which or found.get("sure")):
        return []  # more often a verb
    if year:
        return _in_years([int(year)], month, day)
    years = _latest_years(today, month)
    return _in_years(years[:1] if which else years, month, day)


def _chinese_month(found: _Found, today: date) -> _Days:
    month = _chinese(found["m"] or "")
    which = found.get("which")
    years = [today.year + _ZH_YEAR[which]] if which else _latest_years(today, month)
    return _in_years(years, month, found.get("day"))


_ZH_YEAR: Final = {"今年": 0, "去年": -1, "前年": -2, "明年": 1}
_SEASONS: Final = {
    "spring": 3,
    "春": 3,
    "summer": 6,
    "夏": 6,
    "autumn": 9,
    "fall": 9,
    "秋": 9,
    "winter": 12,
    "冬": 12,
}


def _season_span(year: int, season: str) -> tuple[date, date]:
    first = _SEASONS[season]
    last_year, last = (year, first + 2) if first < 12 else (year + 1, 2)  # noqa: PLR2004
    return date(year, first, 1), _month_span(last_year, last)[1]


def _season(found: _Found, today: date) -> _Days:
    season, year = found["season"] or "", found.get("year")
    if season in {"spring", "fall"} and not year:
        return []  # as often a verb or a thing
    years = [int(year)] if year else [today.year, today.year - 1]
    return [_season_span(y, season) for y in years if date(y, _SEASONS[season], 1) <= today]


def _chinese_year(found: _Found, today: date) -> _Days:
    year = today.year + _ZH_YEAR[found["which"] or ""]
    season = found.get("season")
    return [_season_span(year, season)] if season else [(date(year, 1, 1), date(year, 12, 31))]


def _year(found: _Found, today: date) -> _Days:
    del today
    year = int(found.get("year") or found.get("year2") or 0)
    return [(date(year, 1, 1), date(year, 12, 31))]


def _weekday(found: _Found, today: date) -> _Days:
    wanted = _DAYS.index((found["weekday"] or "")[:3])
    days_back = (today.weekday() - wanted) % 7 or 7
    day = today - timedelta(days=days_back)
    week = today - timedelta(days=today.weekday() + 7 - wanted)  # the same day of the calendar week before
    return [(d, d) for d in sorted({day, week})]


def _chinese_weekday(found: _Found, today: date) -> _Days:
    name, which = found["weekday"] or "", found.get("which") or ""
    weeks = {"上上": 2, "上": 1, "上个": 1}.get(which, 0)
    monday = today - timedelta(days=today.weekday() + 7 * weeks)
    if name == "末":
        return [(monday + timedelta(days=5), monday + timedelta(days=6))]
    day = monday + timedelta(days="一二三四五六日天".index(name) if name != "天" else 6)
    if not which and day > today:
        day -= timedelta(days=7)
    return [(day, day)]


def _period(found: _Found, today: date) -> _Days:
    unit, last = found["unit"] or "", found["which"] != "this"
    monday = today - timedelta(days=today.weekday())
    if unit in {"week", "周", "星期"}:
        first = monday - timedelta(days=7 * last)
        return [(first, first + timedelta(days=6))]
    if unit == "weekend":
        return (
            [(monday - timedelta(days=2), monday - timedelta(days=1))]
            if last
            else [(monday + timedelta(days=5), monday + timedelta(days=6))]
        )
    if unit == "night":
        return [(today - timedelta(days=1), today)]
    if unit == "year":
        year = today.year - last
        return [(date(year, 1, 1), date(year, 12, 31))]
    first = (today.replace(day=1) - timedelta(days=1)).replace(day=1) if last else today.replace(day=1)
    return [_month_span(first.year, first.month)]


def _chinese_period(found: _Found, today: date) -> _Days:
    which = found["which"] or ""
    if which.startswith("上上"):
        return _ago({"count": "2", "unit": "周" if found["unit"] != "月" else "个月"}, today)
    return _period(
        {
            "unit": "month" if found["unit"] == "月" else "week",
            "which": "last" if which[0] == "上" else "this",
        },
        today,
    )


def _ago(found: _Found, today: date) -> _Days:
    count, unit = found["count"] or "", found["unit"] or ""
    number = _WORDS[count] if count in _WORDS else _chinese(count)
    days = _UNIT_DAYS[unit]
    centre = today - timedelta(days=number * days)
    slack = timedelta(days=days // 2)
    return [(centre - slack, centre + slack)]


_NEAR: Final = {
    "yesterday": (2, 1), "昨天": (2, 1), "昨晚": (2, 1), "前天": (3, 2), "today": (0, 0), "今天": (0, 0),
    "recently": (30, 0), "lately": (30, 0),
    "最近": (30, 0), "近来": (30, 0), "the other day": (10, 1), "前几天": (10, 1),
}  # fmt: skip


def _near(found: _Found, today: date) -> _Days:
    first, last = _NEAR[found.get("near") or found.get("near2") or ""]
    return [(today - timedelta(days=first), today - timedelta(days=last))]


def _chinese(text: str) -> int:
    """Read 12, 三, 十一, 二十三, 三十."""
    if text.isdigit():
        return int(text)
    tens, ten, ones = text.rpartition("十")
    if not ten:
        return int("".join(str(_DIGITS[c]) for c in text))
    return 10 * (_DIGITS[tens] if tens else 1) + (_DIGITS[ones] if ones else 0)


_SPANS: Final = {
    "ymd": _ymd, "month": _english_month, "zh": _chinese_month, "season": _season,
    "zhyear": _chinese_year, "year": _year, "weekday": _weekday, "zhweekday": _chinese_weekday,
    "period": _period, "zhperiod": _chinese_period, "ago": _ago, "zhago": _ago, "near": _near,
}  # fmt: skip
