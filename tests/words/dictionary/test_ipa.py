"""ARPAbet as IPA: values by hand, and every line of CMUdict."""

import re
from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wotd_mlx.schemas import WotdError
from wotd_mlx.words.builtin import load_lexicon
from wotd_mlx.words.dictionary.denckring import SOUNDS, Denckring, find_data
from wotd_mlx.words.dictionary.ipa import to_ipa
from wotd_mlx.words.dictionary.sounds import composed

# Syllables as dictionaries of American English divide these words.
KNOWN = {
    "S AA1 L AH0 T UW2 D": "ˈsɑləˌtud",  # solitude
    "D R IY1 M": "dɹim",  # dream: one syllable bears no mark
    "AE2 B S T R AE1 K SH AH0 N": "ˌæbˈstɹækʃən",  # abstraction: bstr begins no word, str does
    "D IH0 S K AH1 V ER0": "dɪˈskʌvɚ",  # discover
    "S IH1 NG ER0": "ˈsɪŋɚ",  # singer
    "IH0 N G R EY1 V": "ɪnˈɡɹeɪv",  # engrave
    "HH Y UW1 M AH0 N": "ˈhjumən",  # human
    "B Y UW1 T IY0": "ˈbjuti",  # beauty
    "B ER1 D": "bɝd",  # bird
    "M EH1 L AH0 D IY0": "ˈmɛlədi",  # melody
    "AO1 T AH0 M": "ˈɔtəm",  # autumn
    "TH AO1 T F AH0 L": "ˈθɔtfəl",  # thoughtful
    "M EH1 ZH ER0": "ˈmɛʒɚ",  # measure
    "EH2 K S P L AH0 N EY1 SH AH0 N": "ˌɛkspləˈneɪʃən",
    "JH OY1": "dʒɔɪ",  # joy
    "HH W IH1 S P ER0": "ˈhwɪspɚ",  # whisper, as the careful say it
    "AH0 N K W EY1 N T": "ənˈkweɪnt",
    "SH": "ʃ",
}


@pytest.mark.parametrize("phones", KNOWN)
def test_by_hand(phones):
    assert to_ipa(phones.split()) == KNOWN[phones]


@pytest.mark.parametrize("phone", ["", "AH", "AH3", "X", "K1", "ah0"])
def test_no_phone(phone):
    with pytest.raises(WotdError, match="no phone of ARPAbet"):
        to_ipa(["B", phone])


def test_every_line_of_cmudict():
    lines = (find_data() / SOUNDS).read_text(encoding="utf-8").splitlines()
    assert len(lines) > 130_000
    for line in lines:
        phones = line.partition("#")[0].split()[1:]
        said = to_ipa(phones)
        stresses = [phone[-1] for phone in phones if phone[-1].isdigit()]
        assert re.fullmatch("[ɑæʌəɔaɛɝɚeɪioʊubdfɡhklmnŋpɹstvwjzðθʃʒˈˌ]+", said), line
        # A mark a stressed vowel, but in words of one syllable; none stands last or beside another.
        assert len(re.findall("[ˈˌ]", said)) == (len([s for s in stresses if s != "0"]) if len(stresses) > 1 else 0)
        assert not re.search("[ˈˌ]([ˈˌ]|$)", said), line


LISTED = {
    "glow": ("G", "L", "OW1"), "worm": ("W", "ER1", "M"), "merry": ("M", "EH1", "R", "IY0"),
    "color": ("K", "AH1", "L", "ER0"),
    "able": ("EY1", "B", "AH0", "L"), "big": ("B", "IH1", "G"), "late": ("L", "EY1", "T"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("glow", "G L OW1"),
        ("glowworm", "G L OW1 W ER2 M"),
        ("glowless", "G L OW1 L AH0 S"),
        ("merriness", "M EH1 R IY0 N AH0 S"),
        ("merrily", "M EH1 R AH0 L IY0"),
        ("unmerry", "AH0 N M EH1 R IY0"),
        ("unmerriness", "AH0 N M EH1 R IY0 N AH0 S"),
        ("colour", "K AH1 L ER0"),
        ("colourless", "K AH1 L ER0 L AH0 S"),
        ("bigger", "B IH1 G ER0"),
        ("latest", "L EY1 T AH0 S T"),
        ("ably", "EY1 B AH0 L IY0"),
        ("bigworm", None),
        ("", None),
        ("ness", None),
        ("xyzzy", None),
    ],
)
def test_words_are_said_by_their_parts(word, said):
    found = composed(word, LISTED.get)
    assert found == (said and tuple(said.split()))


@given(st.text(st.sampled_from("abeglinorstuwy"), max_size=14))
def test_parts_are_found_in_any_text_or_not(word):
    found = composed(word, LISTED.get)
    assert found is None or to_ipa(found)


def test_what_is_made_of_parts_is_near_what_cmudict_says():
    """Each of 1,500 listed words, hidden: sounds that differ, without stress, are one in twenty at most."""
    source = Denckring(find_data())
    words = [word.text for word in load_lexicon() if source.senses(word.text)][::20]
    wrong = total = made = 0
    for word in words:
        known = source._phones(word)
        found = composed(
            word, lambda part, word=word: source._phones(part) if part != word and source.senses(part) else None
        )
        if known and found:
            one, other = ([phone.rstrip("012") for phone in phones] for phones in (known, found))
            matched = sum(
                block.size for block in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
            )
            wrong, total, made = wrong + max(len(one), len(other)) - matched, total + len(one), made + 1
    assert made > 300
    assert wrong / total < 0.06


def test_found_among_variants_and_genitives():
    source = Denckring(find_data())
    assert source.ipa("a's") == "eɪz"
    assert source.ipa("tempest") == "ˈtɛmpəst"
    assert source.ipa("aalto") == "ˈɑlˌtoʊ"  # its line ends in a comment
    assert source.ipa("tempest(2)") is None
