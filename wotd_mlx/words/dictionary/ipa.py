"""CMUdict's phones, ARPAbet, as IPA."""

from __future__ import annotations

from collections.abc import Sequence

from wotd_mlx.schemas import WotdError

_VOWELS = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ", "ER": "ɝ", "EY": "eɪ", "IH": "ɪ",
    "IY": "i", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "u",
}  # fmt: skip
_REDUCED = {"AH": "ə", "ER": "ɚ"}
_CONSONANTS = {
    "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ", "K": "k", "L": "l", "M": "m",
    "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j",
    "Z": "z", "ZH": "ʒ",
}  # fmt: skip
_MARKS = {"1": "ˈ", "2": "ˌ"}

# What may stand before an English vowel, beside any single consonant but ŋ.
_ONSETS = frozenset(
    tuple(onset.split())
    for onset in (
        "P R", "P L", "P Y", "B R", "B L", "B Y", "T R", "T W", "T Y", "D R", "D W", "D Y", "K R", "K L", "K W", "K Y",
        "G R", "G L", "G W", "G Y", "F R", "F L", "F Y", "TH R", "TH W", "SH R", "V Y", "M Y", "N Y", "L Y", "HH Y",
        "HH W", "S P", "S T", "S K", "S M", "S N", "S L", "S W", "S F", "S P R", "S P L", "S P Y", "S T R", "S T Y",
        "S K R", "S K L", "S K W", "S K Y", "Z Y",
    )
)  # fmt: skip


def to_ipa(phones: Sequence[str]) -> str:
    """Phones such as ``S AA1 L AH0 T UW2 D`` as ``ˈsɑləˌtud``.

    A stress mark stands before the whole syllable, which begins as early as an English word could; a word of one
    syllable has none. An unstressed AH is ə, an unstressed ER ɚ.

    Raises:
        WotdError: no phone of ARPAbet.
    """
    alone = sum(phone[:-1] in _VOWELS for phone in phones) < 2
    said: list[str] = []
    waiting: list[str] = []  # consonants since the last vowel
    for phone in phones:
        if phone in _CONSONANTS:
            waiting.append(phone)
            continue
        vowel, stress = phone[:-1], phone[-1:]
        if vowel not in _VOWELS or stress not in "012":
            raise WotdError(f"{phone!r} is no phone of ARPAbet; expected such as 'AH0' or 'NG'")
        start = _onset(waiting) if said else 0
        mark = "" if alone else _MARKS.get(stress, "")
        sound = _REDUCED.get(vowel, _VOWELS[vowel]) if stress == "0" else _VOWELS[vowel]
        said += [*_sounds(waiting[:start]), mark, *_sounds(waiting[start:]), sound]
        waiting = []
    return "".join([*said, *_sounds(waiting)])


def _sounds(consonants: Sequence[str]) -> list[str]:
    return [_CONSONANTS[c] for c in consonants]


def _onset(consonants: Sequence[str]) -> int:
    """Where the longest end of ``consonants`` that may begin a syllable starts."""
    for start in range(len(consonants)):
        rest = tuple(consonants[start:])
        if rest in _ONSETS or (len(rest) == 1 and rest != ("NG",)):
            return start
    return len(consonants)
