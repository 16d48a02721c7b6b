"""Texts of our own to measure token counts by, each with the bounds of estimate / o200k_base."""

# ruff: noqa: E501
from __future__ import annotations

ENGLISH = """\
I moved to Lisbon in March and the flat is on the fourth floor, so please remember that anything heavy has to \
come up by hand. Could you help me plan a week of dinners? Two of us eat no pork, one is allergic to peanuts, \
and we would rather not spend more than forty euros.
Sure! Here is a plan that stays under the budget. On Monday, make a lentil stew with carrots; it keeps well, \
so cook a double portion. On Tuesday, roast a tray of vegetables and serve it with couscous.
Actually, let's move the meeting to Thursday at half past three. The room on the second floor is taken, so \
we'll meet in the library instead. I've told Marta already, but nobody has heard from Ibrahim yet.
"""
CHINESE = """\
我三月份搬到了里斯本，公寓在四楼，没有电梯，所以请记住重的东西都要自己搬上去。你能帮我安排一周的晚饭吗？我们两个人不吃猪肉，其中一个对花生过敏，预算不要超过四十欧元。
当然可以！下面这个方案不会超出预算。周一做一锅扁豆胡萝卜汤，能放好几天，可以一次做两份。周二烤一盘蔬菜，配上古斯米。请告诉我你的烤箱能不能到二百二十度以上。
其实我们还是把会议改到周四下午三点半吧。二楼的会议室被占了，所以改在图书馆见面。我已经跟小玛说过了，不过还没有人联系上易卜拉欣。以后都用中文回答我，谢谢。
"""
TRADITIONAL = "其實我們還是把會議改到週四下午三點半吧。二樓的會議室被佔了，所以改在圖書館見面。以後都用中文回答我，謝謝。"
MIXED = """\
我们下周三 (2026-03-11) 用 Python 3.12 重写那个 API，先把 GET /v2/orders 的分页改掉，page_size 默认 50，超过 200 就返回 400。@lihua 负责写测试，\
CI 里跑 pytest -q 就行。PR 记得 link 到 issue #4821，thanks!"""
CODE = '''\
def moving_average(values: list[float], width: int) -> list[float]:
    """Average of each run of `width` values."""
    if width < 1:
        raise ValueError(f"width must be at least 1, not {width}")
    total = sum(values[:width])
    found = [total / width]
    for i in range(width, len(values)):
        total += values[i] - values[i - width]
        found.append(total / width)
    return found


class Basket:
    __slots__ = ("_items", "_currency")

    def __init__(self, currency: str = "EUR") -> None:
        self._items: dict[str, int] = {}
        self._currency = currency
'''
JSON = """\
{"id":"ord_8F2kQ1","created":1772419200,"customer":{"name":"Marta Reis","email":"marta.reis@example.org","address":\
{"street":"Rua das Flores 12","postcode":"1200-192","city":"Lisboa"}},"items":[{"sku":"KT-0419","title":"Kettle, \
1.7 l","price":39.95,"quantity":1},{"sku":"MG-2210","title":"Mug, blue","price":8.5,"quantity":4}],"paid":true}"""
INDENTED = """\
{
  "name": "get_weather",
  "arguments": {
    "city": "Kyoto",
    "date": "2026-04-02",
    "units": "metric"
  },
  "results": [
    {"hour": 9, "temperature": 11.5, "rain": 0.0},
    {"hour": 12, "temperature": 16.25, "rain": 0.2}
  ]
}"""
MARKDOWN = """\
## Shopping list

| item | amount | shop |
|---|---:|---|
| lentils | 500 g | market |
| olive oil | 1 l | corner shop |

- **Monday**: stew
- **Tuesday**: tray of vegetables
1. Preheat the oven to 220 °C.
2. Roast for 35 minutes.
"""
LOG = """\
2026-03-11T09:14:22.318Z ERROR [worker-3] orders.sync: HTTPSConnectionPool(host='api.example.org', port=443): Max \
retries exceeded with url: /v2/orders (Caused by ConnectTimeoutError)
Traceback (most recent call last):
  File "/srv/app/orders/sync.py", line 182, in run
    response = session.get(url, timeout=5)
"""
NUMBERS = "4821 39.95 0.0031 17:42 2026-03-11 1200-192 +351 912 345 678 3.14159265 1,204,331 99% 12/07 10.0.0.1 1e-9"
EMOJI = (
    "Happy birthday!! 🎉🎂🥳 love you so much ❤️❤️ see you tonight 😘👍🏽 can't wait 🚀✨ 哈哈哈😂😂 太棒了👏👏"
)
GERMAN = """\
Könnten Sie mir bitte sagen, wann der nächste Zug nach Köln fährt? Ich hätte gern zwei Fahrkarten mit \
Platzreservierung am Fenster. Die Straßenbahnhaltestelle liegt direkt vor dem Bahnhofsgebäude."""
RUSSIAN = (
    "Давайте встретимся в четверг в половине четвёртого, потому что переговорная на втором этаже занята."
)
ARABIC = "لنلتق يوم الخميس في الساعة الثالثة والنصف لأن القاعة في الطابق الثاني محجوزة."
JAPANESE = "会議は木曜日の午後三時半に変更しましょう。二階の会議室は埋まっているので、図書館で会いましょう。"
KOREAN = (
    "회의를 목요일 오후 세 시 반으로 옮깁시다. 이층 회의실은 이미 예약되어 있어서 도서관에서 만나기로 했어요."
)
HEX = "9b2e1f4c7a60d3e58812bb90af34cc017e6d5f2a 550e8400-e29b-41d4-a716-446655440000"
CAPITALS = "PLEASE DO NOT REPLY TO THIS MESSAGE. THE OFFICE IS CLOSED UNTIL MONDAY."
BASE64 = (
    "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4/8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJ"
)

SAMPLES: dict[str, tuple[str, float, float]] = {
    "english": (ENGLISH, 1.0, 1.3),
    "chinese": (CHINESE, 1.0, 1.3),
    "traditional": (TRADITIONAL, 1.0, 1.3),
    "mixed": (MIXED, 1.0, 1.3),
    "code": (CODE, 1.0, 1.4),
    "json": (JSON, 1.0, 1.4),
    "indented": (INDENTED, 0.95, 1.4),
    "markdown": (MARKDOWN, 1.0, 1.3),
    "log": (LOG, 1.0, 1.4),
    "numbers": (NUMBERS, 1.0, 1.4),
    "emoji": (EMOJI, 1.0, 1.5),
    "german": (GERMAN, 1.0, 1.3),
    "russian": (RUSSIAN, 1.0, 1.4),
    "arabic": (ARABIC, 1.0, 1.4),
    "japanese": (JAPANESE, 1.0, 1.3),
    "korean": (KOREAN, 1.0, 1.3),
    "hex": (HEX, 0.9, 1.3),
    "capitals": (CAPITALS, 1.0, 1.7),
    "base64": (BASE64, 0.5, 1.0),
}
