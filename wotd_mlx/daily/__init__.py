"""A word a day: chosen for a person, with the reason why."""
