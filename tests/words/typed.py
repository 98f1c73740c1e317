"""One word, as keyboards, editors and web pages write it."""

TYPED = (
    "caf\u00e9",
    "Caf\u00e9",
    " caf\u00e9",
    "CAFE\u0301",
    "\ufeffcaf\u00e9",
    "ca\u200bf\u00e9",
    "caf\u00e9\u00a0",
    "cafe\u0301",
)
