"""A training of adapters: rows as batches, a step at a time, within a limit of memory."""
