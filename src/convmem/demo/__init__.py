"""The demo: a made-up bilingual conversation, questions about it and small talk, played through convmem.

The JSON Lines files beside this one are its data; `data` reads them, `play` plays, `convmem demo` shows.
"""
