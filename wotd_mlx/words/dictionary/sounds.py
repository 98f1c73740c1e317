"""How a word sounds that no dictionary of sounds has, from those that it is made of: *wondrousness*, *moonglade*."""

from __future__ import annotations

from collections.abc import Callable, Iterator

Phones = tuple[str, ...]
Lookup = Callable[[str], Phones | None]

# Ending, the letters that stand in its place in the base, the sounds that the base loses for it, its own sounds.
_SUFFIXES = tuple(
    (ending, base, tuple(lost.split()), tuple(own.split()))
    for ending, base, lost, own in (
        ("ically", "ic", "", "L IY0"), ("iness", "y", "", "N AH0 S"), ("ness", "", "", "N AH0 S"),
        ("ily", "y", "IY0", "AH0 L IY0"), ("ably", "able", "AH0 L", "L IY0"), ("ibly", "ible", "AH0 L", "L IY0"),
        ("lly", "ll", "", "IY0"), ("ly", "", "", "L IY0"), ("iless", "y", "", "L AH0 S"),
        ("less", "", "", "L AH0 S"), ("iful", "y", "", "F AH0 L"), ("ful", "", "", "F AH0 L"),
        ("ish", "", "", "IH0 SH"), ("ish", "e", "", "IH0 SH"), ("like", "", "", "L AY2 K"),
        ("ship", "", "", "SH IH2 P"), ("hood", "", "", "HH UH2 D"), ("dom", "", "", "D AH0 M"),
        ("some", "", "", "S AH0 M"), ("ward", "", "", "W ER0 D"), ("ment", "", "", "M AH0 N T"),
        ("ability", "able", "AH0 L", "IH1 L AH0 T IY0"), ("able", "", "", "AH0 B AH0 L"),
        ("able", "e", "", "AH0 B AH0 L"), ("ingly", "ing", "", "L IY0"), ("ing", "", "", "IH0 NG"),
        ("ing", "e", "", "IH0 NG"), ("ism", "", "", "IH2 Z AH0 M"), ("ist", "", "", "IH0 S T"),
        ("ist", "e", "", "IH0 S T"), ("ism", "e", "", "IH2 Z AH0 M"), ("ier", "y", "", "ER0"),
        ("er", "", "", "ER0"), ("er", "e", "", "ER0"), ("iest", "y", "", "AH0 S T"), ("est", "", "", "AH0 S T"),
        ("est", "e", "", "AH0 S T"), ("ise", "ize", "", ""), ("ised", "ized", "", ""),
        ("isation", "ization", "", ""), ("iser", "izer", "", ""), ("ise", "", "", "AY2 Z"),
        ("ize", "", "", "AY2 Z"), ("our", "or", "", ""), ("oured", "ored", "", ""), ("ourless", "orless", "", ""),
        ("ourable", "orable", "", ""), ("tre", "ter", "", ""), ("ey", "y", "", ""), ("y", "", "", "IY0"),
        ("y", "e", "", "IY0"), ("ous", "", "", "AH0 S"), ("ess", "", "", "AH0 S"),
    )
)  # fmt: skip
_PREFIXES = {
    prefix: tuple(own.split())
    for prefix, own in {
        "un": "AH0 N", "non": "N AA2 N", "over": "OW2 V ER0", "under": "AH2 N D ER0", "mis": "M IH0 S",
        "dis": "D IH0 S", "re": "R IY0", "out": "AW2 T", "pre": "P R IY0", "anti": "AE2 N T IY0",
        "super": "S UW2 P ER0", "semi": "S EH2 M IY0", "counter": "K AW2 N T ER0", "inter": "IH2 N T ER0",
        "fore": "F AO2 R", "micro": "M AY2 K R OW0", "multi": "M AH2 L T IY0", "ultra": "AH2 L T R AH0",
        "sub": "S AH2 B", "im": "IH0 M", "in": "IH0 N",
    }.items()
}  # fmt: skip
_SHORTEST = 3
_PART = 4  # letters of each of two words: *sweats* and *hop* are no *sweatshop*
_SIBILANTS = frozenset(("S", "Z", "SH", "ZH", "CH", "JH"))
_VOICELESS = frozenset(("P", "T", "K", "F", "TH", "S", "SH", "CH"))


def composed(word: str, lookup: Lookup, depth: int = 2) -> Phones | None:
    """Phones of a word from those of its parts: a base and an ending or beginning, or two words; None where it has no
    such parts.

    Args:
        lookup: the phones of a word that is listed; None for others.
        depth: how many affixes may be taken off.
    """
    if (listed := lookup(word)) is not None or depth < 0:
        return listed
    return next(_attempts(word, lookup, depth), None)


def _attempts(word: str, lookup: Lookup, depth: int) -> Iterator[Phones]:
    for ending, base, lost, own in _SUFFIXES:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST:
            rest = word[: -len(ending)]
            forms = [rest + base]
            if not base and rest[-1] == rest[-2] and own and own[0][0] in "AEIOU":
                forms.append(rest[:-1])
            for form in forms:
                said = composed(form, lookup, depth - 1)
                if said and said[len(said) - len(lost) :] == lost:
                    yield (*said[: len(said) - len(lost)], *own)
    for prefix, own in _PREFIXES.items():
        if word.startswith(prefix) and len(word) - len(prefix) >= _SHORTEST:
            said = composed(word[len(prefix) :], lookup, depth - 1)
            if said:
                yield (*own, *said)
    # The longer the first word, the less often the cut falls within a syllable.
    for at in range(len(word) - _PART, _PART - 1, -1):
        first, second = lookup(word[:at]), lookup(word[at:])
        if first and second:
            yield (*first, *(phone.replace("1", "2") for phone in second))
