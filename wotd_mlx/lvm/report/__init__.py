"""The comparison of trained predictors for people: tables, figures, and one page that holds both.

Everything here reads the files that ``wotd-mlx lvm train`` and ``wotd-mlx lvm evaluate`` wrote; nothing is computed
from a model.
"""
