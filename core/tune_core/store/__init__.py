"""The record of an experiment: one SQLite file that one manager writes and anybody reads.

`Record` reads, `Writer` appends events, `commands` asks a manager for changes, `lock` makes sure
that there is one manager, `directory` finds experiments. Readers need only this package.
"""
