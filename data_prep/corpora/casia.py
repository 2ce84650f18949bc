"""CASIA, a Mandarin Chinese emotional speech corpus: the public part.

Two women and two men say 50 sentences in six emotions: 1200 utterances, 16 kHz mono.
The whole corpus (9600) is sold by the Chinese Linguistic Data Consortium.

Paper: Tao et al., "Design of speech corpus for Mandarin text to speech", Blizzard
Challenge 2008. Licence: research, by agreement. Home page:
http://www.chineseldc.org/resource_info.php?rid=76

Layout: ``liuchanhg/angry/201.wav``: speaker, emotion, sentence (201-250). A text list
in GB 18030, one number and sentence per line, may be beside them.

Quirks: the file names repeat in every folder, so an id needs speaker and emotion.
Folder names vary in case and spelling from copy to copy (``liuchanhong``,
``Chang.Liu``); the speaker is the part of the name that stays.

Split: none in the paper.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import Corpus, Rejected, Utterance, files, match_files, read_text

# What stays of a name in all its spellings: the usual one, and the gender.
SPEAKERS = {
    "liu": ("liuchanhg", "female"),
    "wang": ("wangzhe", "male"),
    "quanyin": ("zhaoquanyin", "female"),
    "zuoxiang": ("zhaozuoxiang", "male"),
}
PATH = rf"(?:.*/)?[^/]*({'|'.join(SPEAKERS)})[^/]*/([^/]+)/(\d{{3}})\.\w+"
SENTENCE = re.compile(r"^\s*(\d{3})[\s.:,、．，：]+(\S.*?)\s*$", re.M)


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read everything but the text off the paths."""
    texts = {}
    for path, _ in files(folder, (".txt",)):
        texts.update(SENTENCE.findall(read_text(folder / path, "gb18030")))
    for item in match_files(folder, PATH, on="path"):
        if isinstance(item, Rejected):
            yield item
            continue
        path, match = item
        name, emotion, number = match.groups()
        speaker, gender = SPEAKERS[name.lower()]
        yield Utterance(
            id=f"{speaker}_{emotion.lower()}_{number}",
            path=path,
            speaker=speaker,
            emotion=emotion.lower(),
            gender=gender,
            text=texts.get(number, ""),
        )


CORPUS = Corpus(
    name="casia",
    title="CASIA, public part",
    short="CASIA",
    language="zh",
    licence="research, by agreement",
    homepage="http://www.chineseldc.org/resource_info.php?rid=76",
    layout="liuchanhg/angry/201.wav, ... of four speakers in six emotions",
    emotions={
        "neutral": "neutral",
        "happy": "happy",
        "angry": "angry",
        "sad": "sad",
        "fear": "fear",
        "surprise": "surprise",
    },
    utterances=utterances,
    expected=dict.fromkeys(
        ("neutral", "happy", "angry", "sad", "fear", "surprise"), 200
    ),
    size=1200,
    speakers=4,
    steps="Sign the agreement of the home page; the whole corpus is sold there.",
)
