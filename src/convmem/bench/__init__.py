"""The recall benchmark that `convmem bench` runs: does what was said come back?

`command` reads the options, `run` puts the questions; nothing here is loaded by the rest of convmem.
"""
