"""`make campaigns`: the gateway's promises, put to the proof from outside. RESULTS.md reports one run.

A campaign drives the real `gateway run` process by HTTP, does its worst to process, line, plug and board, and then
holds what the gateway said against what the emulated board did. It returns a frozen dataclass of counts; the tests run
the same campaigns with smaller numbers.
"""
