"""Generated inputs for everything that reads files and text: each is taken, or refused with a documented error.

    python -m tests.fuzz [PART…] [-n COUNT] [--seed SEED]

A part is a module of this folder, which has

``documented``
    the exceptions that a refusal may be, in one line;
``make(rng)``
    an input, from a ``random.Random``: bytes, a text, or a folder's files by name;
``read(made)``
    what takes it or raises;
``quick``
    how many inputs the tests try.
"""
