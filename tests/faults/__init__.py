"""The fault campaign: trainings that are hurt in every way we know, and must lose nothing.

    python -m tests.faults             a minute of it
    python -m tests.faults --long      at least 500 kills and 300 damaged checkpoints

A *victim* is a small training in a process of its own. A *fault* kills it, fills its disk, damages
its files. A *case* is one model_dir and the faults that it meets, drawn from the seed and the
case's number, so that each can be played again: ``--only rename:17``. After every fault an
*auditor*, who reads the files without minicnn's help, looks at what is left; then the victim is
started again, as a user would do. At the end the files must be those of a run that nothing
happened to, byte by byte.

    victim.py      the training                    injection.py   faults that strike inside of it
    launching.py   starts victims, with a limit    power.py       what a power cut leaves of files
    disks.py       disks that are full, or read-only
    auditor.py     what must hold at any moment    night.py       one case: run, audit, run again
    cases.py       the kinds of cases              campaign.py    many cases, and the table
"""
