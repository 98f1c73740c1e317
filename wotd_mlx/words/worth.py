"""Which words are worth meeting: what a word of the day may be, by its meanings; for the build alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wotd_mlx.words import screen
from wotd_mlx.words.derive import Derivations
from wotd_mlx.words.dictionary.wordnet import PARTS, Synset, WordNet

LOOKED_AT = 2
"""Senses, the commonest, that decide what kind of thing a word means; what offends is looked for in all of them."""
PLAIN_ZIPF = 2.8
"""A plant, an animal or a substance that is named at least so often is a word that people have met (*willow*)."""
TOPIC_ZIPF = 3.2
PART_ZIPF = 3.5

# Numbers of WordNet's lexicographers' files.
_ARTIFACT, _ANIMAL, _BODY, _FOOD, _PLANT, _QUANTITY, _SUBSTANCE = 6, 5, 8, 13, 20, 23, 27
_MATTER = frozenset((_ARTIFACT, _ANIMAL, _FOOD, _PLANT, _SUBSTANCE))
_USAGES = frozenset(("disparagement", "ethnic slur", "obscenity", "vulgarism", "derogation", "abbreviation", "acronym"))

# What offends is marked so, in any sense; of what is indelicate only the commonest sense counts (*virtuous*).
_OFFENSIVE = re.compile(
    r"\((\w+[,;]? )*(offensive|disparag\w*|derogat\w*|vulgar\w*|obscen\w*|taboo)|\b(offensive|disparaging|"
    r"derogatory|insulting|contemptuous|obscene|vulgar|pejorative) (\w+ )?(terms?|names?|words?|slang|expression)\b|"
    r"ethnic slur|\bslang (terms? |words? )?for\b|\b(Negroid|Negro|mentally retarded|mental retardation)\b",
    re.IGNORECASE,
)
_INDELICATE = re.compile(
    r"\b(sexual\w*|intercourse|genital\w*|penis|vulva|vagina\w*|anus|anal|rectum|buttocks|excrement|feces|faeces|"
    r"fecal|urine|urinat\w*|defecat\w*|masturbat\w*|prostitut\w*|brothel|lewd\w*|lascivious\w*|homosexual\w*|"
    r"lesbian\w*|testic\w*|semen|menstrua\w*|orgasm\w*|erotic\w*|pornogra\w*|rape|incest|concubin\w*|intestinal gas|"
    r"flatulen\w*|abortion\w*|suicid\w*|genocid\w*|contracepti\w*|venereal|sodomy|castrat\w*|lynch\w*|slave\w*)\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\([^()]*\b\d{3,4}\s*[-–]\s*(\d{2,4}|\?)?\)|\(born \w* ?(in )?\d{4}|^(the |a |an )?((largest|smallest|capital|"
    r"chief|major|port|ancient|former|independent|industrial|small|large|landlocked|island|important|historic|"
    r"mountainous|parliamentary|second|third|longest|only|southern|northern|eastern|western|central|coastal|resort|"
    r"university)[ -](and )?)*(city|town|capital|river|port|county|province|country|republic|kingdom|island|islands|"
    r"archipelago|peninsula|mountain|mountains|lake|sea|bay|gulf|strait|desert|district|borough|suburb|village|"
    r"state|monarchy|nation|battle|novel|constellation|star|asteroid|planet|university|airport)\b[^;]*\b[A-Z]|"
    r"^\((\w+ )?(Greek|Roman|Norse|Hindu|Egyptian|Arthurian|Teutonic)[^)]*\)|^(an?|the|type) (\w+ )?genus\b|"
    r"\b(god of|goddess of|king of [A-Z]|native or inhabitant of|inhabitant of|member of the [A-Z]|language (spoken|"
    r"of)|languages? (family|group)|dialect of|Old Testament|New Testament|Apocrypha|mythology|trademark|trade name|"
    r"brand of|of or (relating|pertaining) to [A-Z]\w+'?s?( or|;|$)|an? [A-Z]\w+ (people|tribe|language|city)|"
    r"a member of an? [A-Z]\w+|people (of|living in|formerly living) |[A-Z]\w+an language|the \w+ (letter|month) of|"
    r"letter of the)\b"
)
_SPECIES = re.compile(
    r"\b(genus|family [A-Z]|[A-Z]\w+(idae|aceae)|(any|one) of (various|several|numerous|many|a number of|the|"
    r"two) [^;]*(plant|herb|shrub|tree|fish|bird|insect|moth|beetle|snake|lizard|rodent|mammal|fungus|fungi|fern|"
    r"grass|weed|mollus\w*|worm|spider|animal|bacteri\w*|flower|vine|orchid|seaweed|alga\w*|crustacean|organism)\w*|"
    r"(perennial|annual|biennial|deciduous|evergreen|tropical|shrubby|climbing|bulbous|marine|freshwater|flowering|"
    r"leguminous|aquatic|extinct|small|large|slender|wading|shore|food|edible|creeping|Old World|New World|"
    r"North American|South American|European|Asian|African|Australian|Eurasian|Mediterranean|Mexican|Chinese|"
    r"Japanese|Indian|Asiatic) [^;]{0,40}?(plant|herb|shrub|tree|fish|fishes|bird|insect|moth|beetle|snake|lizard|"
    r"rodent|mammal|fungus|fern|grass|weed|mollus\w*|mussel|clam|worm|spider|orchid|vine|seaweed|antelope|monkey|"
    r"lemur|ape|duck|shark|eel|cat|wildcat|dog|breed|crab|shrimp|marsupial|reptile|frog|toad|bat)s?)\b|^(breed|"
    r"variety|strain|race|type|kind|species) of |^(wood|timber|fruit|seed|flesh|hide|fur) of "
)
_TECHNICAL = re.compile(
    r"^\((anatomy|biochemistry|chemistry|medicine|physics|mathematics|computer science|computing|genetics|botany|"
    r"zoology|biology|geology|physiology|pathology|linguistics|phonetics|statistics|microbiology|pharmacology|"
    r"psychiatry|electronics|geometry|logic|grammar|immunology|neuroscience|optics|surgery|dentistry|embryology|"
    r"ecology|radiology|cytology|histology|mineralogy|petrology|crystallography|telecommunication|aeronautics|"
    r"finance|accounting|business|economics|banking|baseball|cricket|golf|tennis|football|basketball|ice hockey|"
    r"rugby|boxing|bridge|metallurgy|mining|psychophysics|fungi|ethology|sports?|American football|"
    r"trademark)\b[^)]*\)|^(?:\W*[\w'-]+\W+){0,4}(enzymes?|amino acid|proteins?|compounds?|alkaloid|antibiotic|"
    r"hormones?|steroid|polymer|isotope|chemical|hydrocarbon|metallic element|mineral|ore|oxide|salt of|ester|"
    r"catalyst|vitamin|drugs?|medications?|trade name|tranquilizer|analgesic|vaccine|inflammation|surgical|"
    r"pathological|tumou?r|carcinoma|diseases?|disorder|syndrome|deficiency|infections?|lesion|congenital|"
    r"bacteri\w+|virus|viral|parasit\w+|neoplasm|gland|nerve|artery|vein|muscle|bones?|membrane|cartilage|tissue|"
    r"chromosomes?|genes?|molecul\w*|electrons?|protons?|ions?|monetary unit|unit of|cardinal|voltage|software|"
    r"computer|statistical|polynomial|logarithm\w*|equations?|specialist|X[- ]ray\w*|radioactiv\w*)\b|"
    r"\b(branch of (medicine|chemistry|biology|physics|mathematics|zoology|botany|geology)|(lapar|end|"
    r"arthr)oscop\w+|arthropods?|electron\w+|transistor|semiconductor|red blood cells?|blood vessels?|"
    r"swelling filled with|aircraft)\b"
)
_NUMBER = re.compile(
    r"^(the cardinal number|being (one|two|ten|\w+|\d+) (more|less)|the ordinal|coming next after|position \w+ in|"
    r"one part in|the number \d|denoting a quantity|\d)|abbreviation|acronym|symbol for|letter of|"
    r"^(an? )?(\w+ )?(variant|spelling|abbreviation) (of|for)\b"
)
_HOLLOW = re.compile(
    r"^(in|with|to|by) an? ?[\w, -]*\b(manner|way|fashion|degree|extent|mode)\b|^in the (manner|way)|"
    r"^(the )?(quality|state|property|condition|trait|attribute|fact|act|action|activity|process|practice|"
    r"result) (of|or) |^the (quality|state|property|condition|trait|attribute) |^(lacking|without|not|having no|"
    r"incapable|unable|impossible) |^(capable of|able to|liable to|that can|having|full of|resembling|of or |"
    r"relating to|pertaining to|characteristic of|like |tending to|marked by|characterized by|covered with|"
    r"consisting of|made of|containing) ?|^(a |an |any )?(person|someone|somebody|one|worker|woman|man|player|thing|"
    r"machine|device|dealer|speaker|female) (who|that|whose)|^(make|cause|become|render|give|get|do|form|put|write|"
    r"act)\b|\bagain\b|\banew\b"
)
# Endings and beginnings that, on a base that is known, leave nothing new to learn.
_CLEAR = frozenset(
    (
        "-ly", "-ally", "-ically", "-ily", "-bly", "-ness", "-iness", "-less", "-iless", "-able", "-iable", "-ability",
        "-ibility", "-er", "-or", "-ing", "-ed", "-like", "-isation", "-ization", "-ish", "-ise", "-ize", "-ification",
        "-ship", "-hood", "-ward", "-ier", "-ee", "-ess", "un-", "non-", "in-", "im-", "il-", "ir-", "dis-", "mis-",
        "re-", "over-", "under-", "anti-", "pre-", "de-", "semi-", "-ment", "-ation", "-ion", "-tion", "-ition", "-ity",
        "-ality", "-ism", "-ist", "-y", "-al", "-ful", "-iful", "-ic", "-ical", "-ance", "-ence", "-ancy", "-ency",
        "-ious", "-ous",
    )
)  # fmt: skip
_SAME_USE = 0.7  # an adverb may be a little commoner than its adjective
_OPPOSED = frozenset(("un-", "in-", "im-", "il-", "ir-", "dis-"))
_OPPOSED_BY = 1.0
_PART_ZIPF = 3.3
_ALWAYS = frozenset(
    (
        "-ly", "-ally", "-ically", "-ily", "-bly", "-ness", "-iness", "-ability", "-ibility", "non-", "-isation",
        "-ization", "-ification", "-like", "-ish",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Judge:
    """Says of a word why it isn't worth meeting.

    Args:
        derivations: what a word comes from.
        glosses: the meanings of a word that everyone's dictionary has.
        head: the lemma, in one spelling, that a form is counted under.
        wordnet: topics, capitals, usages.
    """

    derivations: Derivations
    glosses: Callable[[str], Sequence[str]]
    head: Callable[[str], str]
    wordnet: WordNet

    def reason(self, word: str, literary: bool = False) -> str:
        """Why a word isn't worth meeting; empty where it is.

        Args:
            literary: works of literature love the word: a compound such as *moonlight* may stay, clear as it is.
        """
        zipf, glosses = screen.zipf(word), self.glosses(word)
        if zipf > screen.ZIPF_MAX:
            return "common"
        if not screen.is_word(word) or self.head(word) != word:
            return "form"
        if not glosses:
            return "no gloss"
        found = self._unfit(word, glosses, zipf)
        if not found and (
            self._is_transparent(word, glosses, zipf) or (not literary and self._is_compound(word, glosses))
        ):
            return "transparent"
        return found

    def _unfit(self, word: str, glosses: Sequence[str], zipf: float) -> str:
        synsets = [synset for part in PARTS for synset in self.wordnet.synsets(word, part)]
        # The dictionary that everyone has goes by part of speech; WordNet knows which sense is the commonest.
        ordered = [sense.gloss for sense in self.wordnet.senses(word)] or glosses
        if self._offends(word, (*glosses, *ordered), synsets) or any(map(_INDELICATE.search, (word, ordered[0]))):
            return "offensive"
        # The dictionary at hand is in lower case; WordNet has the capitals.
        if (synsets and not any(word in synset.words for synset in synsets)) or all(map(_NAME.search, glosses)):
            return "name"
        return self._kind(ordered, synsets, zipf)

    def _offends(self, word: str, glosses: Sequence[str], synsets: Sequence[Synset]) -> bool:
        usages = {
            self.wordnet.word(kind, at, 1)
            for synset in synsets
            for symbol, at, kind, source, _ in synset.pointers
            if symbol == ";u" and (not source or synset.words[source - 1].lower() == word)
        }
        return bool(usages & _USAGES) or any(map(_OFFENSIVE.search, glosses)) or screen.is_slur(word)

    def _kind(self, glosses: Sequence[str], synsets: Sequence[Synset], zipf: float) -> str:
        topics = {synset.topic for synset in synsets}
        looked = glosses[:LOOKED_AT]
        if _NUMBER.search(glosses[0]) or topics == {_QUANTITY}:
            return "number or unit"
        living = topics and topics <= {_ANIMAL, _PLANT}
        if zipf < PLAIN_ZIPF and (living or (topics <= _MATTER and any(map(_SPECIES.search, looked)))):
            return "species"
        if zipf < PLAIN_ZIPF and topics == {_SUBSTANCE}:
            return "substance"
        if topics == {_BODY} and zipf < PART_ZIPF:
            return "part of a body"
        return "technical" if zipf < TOPIC_ZIPF and all(map(_TECHNICAL.search, looked)) else ""

    def _is_transparent(self, word: str, glosses: Sequence[str], zipf: float) -> bool:
        for link in self.derivations.links(word):
            more = screen.zipf(link.base) - zipf
            if link.affix in _ALWAYS and more >= -_SAME_USE:
                return True
            if link.affix in _OPPOSED and more >= _OPPOSED_BY and self.derivations.opposed(word, link.base):
                return True
            told = (_HOLLOW.search(gloss) or self.derivations.names(gloss, link.base) for gloss in glosses)
            if link.affix in _CLEAR and more >= 0 and all(told):
                return True
        return False

    def _is_compound(self, word: str, glosses: Sequence[str]) -> bool:
        """*Haystack* is a stack of hay: two common words, and the gloss has one of them."""
        for at in range(3, len(word) - 2):
            parts = word[:at], word[at:]
            common = all(screen.zipf(part) >= _PART_ZIPF and self.derivations.known(part) for part in parts)
            if common and any(self.derivations.names(gloss, part) for gloss in glosses for part in parts):
                return True
        return False
