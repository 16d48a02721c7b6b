"""The demo: a made-up bilingual conversation, questions about it and small talk, played through convmem.

The files beside this one are its data; `convmem demo` and `python -m convmem.demo` show it.
"""
