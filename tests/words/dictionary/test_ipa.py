"""ARPAbet as IPA: values by hand, and every line of CMUdict."""

import re

import pytest

from wotd_mlx.schemas import WotdError
from wotd_mlx.words.dictionary.denckring import SOUNDS, Denckring, find_data
from wotd_mlx.words.dictionary.ipa import to_ipa

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


def test_found_among_variants_and_genitives():
    source = Denckring(find_data())
    assert source.ipa("a's") == "eɪz"
    assert source.ipa("tempest") == "ˈtɛmpəst"
    assert source.ipa("aalto") == "ˈɑlˌtoʊ"  # its line ends in a comment
    assert source.ipa("tempest(2)") is None
