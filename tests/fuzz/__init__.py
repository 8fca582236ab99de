"""Feeding the readers what nobody meant them to read: ``python -m tests.fuzz``.

``targets/`` has one file for each family of readers::

    NAME = "images"
    DICTIONARY = [b"P6"]                 # optional: words that the files are made of
    def seeds() -> list[bytes]: ...      # small inputs, sound ones and nasty ones, made by code
    def run(data, folder) -> None: ...   # feed the reader, in a folder that the input may lie in

A reader may return, or raise one of minicnn's errors that names the file; `run` asserts both.
Anything else is a finding: another exception, a warning, a crash, more time than the limit, more
memory than the limit, a file opened outside of the folder, a program started.
"""
