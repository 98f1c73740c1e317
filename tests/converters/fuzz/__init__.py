"""Generated MLX functions: each becomes a package that computes what MLX does, or is refused in one line.

    python -m tests.converters.fuzz [--graphs 5000] [--seed 0] [--only GRAPH]

``generators``
    one function or more for every primitive of the op table: adds it to a draft, on what is there or on new inputs;
``draft``
    a function as it grows, its inputs' roles, and its replay;
``inputs``
    arrays for a role: as in an example, and at the edges of what the dtype holds;
``compare``
    a package's outputs beside MLX's;
``noise``
    how far rounding alone moves a function's result, number by number;
``known``
    the differences that can't be mended, with reasons; the documentation has the same table;
``trial``
    one graph converted, run and compared.
"""
