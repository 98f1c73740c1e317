"""One reader and writer of each file format, whole files only, one lock, weights by name.

Whatever a file holds, reading it gives checked values or one :class:`~wotd_mlx.schemas.WotdError` that names the file
and the place in it.
"""
