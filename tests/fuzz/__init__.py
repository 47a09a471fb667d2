"""A small fuzzer of everything that reads a file: `python -m tests.fuzz --minutes N`.

Inputs are mutated from good ones (`mutate`), given to a reader (`targets`) in a process of its own with
a limit on time and memory (`worker`), and whatever ends in anything but a result or a `SynthvaeError` is
saved under `seeds/`, which `test_seeds` replays.
"""
