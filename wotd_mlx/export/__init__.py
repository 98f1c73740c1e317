"""A run as Core ML: the functions that leave, and the box of files that an app takes in."""
