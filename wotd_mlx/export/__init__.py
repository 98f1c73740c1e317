"""A run as Core ML: the functions that leave, and the bundle of files that an app takes in."""
