"""Word lists of the analyzer: what is so common that it says nothing about a turn."""

from __future__ import annotations

from typing import Final


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_ENGLISH: Final = _listed(
    """
    a about above actually after again against ain all also am an and any anything are aren as at be
    because been before being below between both but by can cannot could couldn d did didn do does doesn
    doing don done down during each else ever every few for from further get gets getting go goes going
    gonna got had hadn has hasn have haven having he her here hers herself him himself his how however i
    if im in into is isn it its itself just kind let ll lot m ma many may maybe me might mightn more
    most much must mustn my myself need needn no nor not now o of off oh ok okay on once one only or
    other our ours ourselves out over own quite re really right s same shall shan she should shouldn so
    some something such sure t than that the their theirs them themselves then there these they thing
    things this those though through to too u under until up upon us ve very wanna was wasn we well were
    weren what when where whether which while who whom whose why will with won would wouldn y yeah yep
    yes yet you your yours yourself yourselves
    """
)
"""English words out of the index. Contracted forms arrive in their parts (``don't`` as ``don`` and ``t``)."""

STOP_CJK: Final = frozenset(
    "上下不与且个中为么之也了于些人什从他以们件会但何你候其再几则到前去又及只可后向吗吧呀呢呵和"
    "哈哎哦哪唉啊啦喂嗯嘛嘿因在地多太她如它对将少就已很得怎您想我或所才把按挺无时是更最有来果某"
    "样次此比没点然的真着种经给而能虽被要让说请谁跟过还这那都里"
    "ぁあぃいぅうぇえぉおかがきぎくぐけげこごさざしじすずせぜそぞただちぢっつづてでとどなにぬね"
    "のはばぱひびぴふぶぷへべぺほぼぽまみむめもゃやゅゆょよらりるれろわをんー"
    "가과는도로를에와은을의이"
)
"""Characters that are no terms by themselves. A pair of them is no term either (我的, 是不是)."""

SMALL_TALK_ENGLISH: Final = _listed(
    """
    afternoon agree agreed ah aha all alright amazing appreciate appreciated awesome aww beautiful best
    brilliant buddy bye care cheers clear congrats congratulations continue cool correct course cya day
    deal dreams dude enjoy enough evening everyone exactly excellent fair fantastic fine fun funny glad
    gladly good goodbye goodnight gotcha great guess guys ha hah haha hahaha happy hehe hello help
    helpful helps hey heya hi hilarious hiya hm hmm hmmm howdy hugs impressive interesting k kidding kk
    later like lol love loved lovely luck makes man mate meet morning na nah neat nice night nope noted
    nothing np omg ooh perfect please pleasure problem proceed rest rofl safe same see sense sleep soon
    sorry sound sounds spot sup super sweet sweetheart ta talk thank thanks thankyou thanx thx tomorrow
    tonight totally true try ty tysm understand understood weekend welcome whoa wonderful work works
    worries wow xd yay yea yo yup
    """
)
"""What small talk is made of, besides stop words: a message of nothing else asks for nothing."""

SMALL_TALK_CJK: Final = (
    "早上好|上午好|中午好|下午好|晚上好|早安|早|午安|晚安|你好|您好|大家好|哈喽|哈啰|嗨|嘿|喂|在吗|在不在"
    "|好的|好吧|好呀|好啊|好嘞|好滴|好哒|好了|好棒|太好了|太棒了|真棒|棒棒|厉害|不错|可以的|可以|没问题"
    "|没事|没关系|不客气|不用谢|谢谢|多谢|感谢|非常感谢|辛苦了|辛苦|麻烦了|麻烦你了|知道[了啦]|明白了|明白"
    "|了解了|了解|懂了|收到|行吧|行的|行|嗯+|恩+|哦+|噢+|喔+|啊+|呀|哈+(?:太?(?:逗|好笑|搞笑)了?)?|呵+|嘻+|嘿+|哎+|唉+|哇+|再见|拜拜"
    "|回见|回头见|明天见|下次见|改天聊|先这样|就这样|是的|是啊|对的|对啊|对呀|没错|有道理|原来如此|加油"
    "|继续|继续吧|请继续|开始吧|祝你好运|祝你|愉快|周末|开心|笑死|有意思|真有趣|随便|算了|那就好|那好|好"
    "|对|棒|赞|嗯嗯|お疲れ様|ありがとう(?:ございます)?|こんにちは|おはよう(?:ございます)?|こんばんは|はい"
    "|안녕(?:하세요)?|감사합니다|고마워요?|네|真的|非常|太|了|吧|啦|呢|的|你|您|我|就|先|那|这|真|很|也"
    "|都|今天|明天|到时候|聊|吃了吗|吃饭了吗|最近怎么样|怎么样|最近"
    "|新年快乐|生日快乐|节日快乐|春节快乐|恭喜(?:恭喜|发财)*|早点休息|好累|累|无语|绝了|牛|爱了|我的哥|晓得了|唔该|等一下|等等|稍等|等会"
    "|不用了|不用|我先去吃饭了|去吃饭|聪明|真的假的|再说一遍|再说|然后呢|为什么|怎么说|是吗|啥|你觉得呢|还有呢|怎么了|就按你说的办|按你说的办"
)
"""The same for Chinese (and the commonest Japanese and Korean), as alternatives of a pattern."""
