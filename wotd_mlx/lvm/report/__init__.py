"""What an evaluation found, for people: tables, pictures, and one page that holds them all.

Everything here reads the files that ``wotd-mlx lvm train`` and ``wotd-mlx lvm evaluate`` wrote; nothing is computed
from a model.
"""
