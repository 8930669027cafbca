"""An offline stand-in for a language model: picks a text's most telling sentences.

Deterministic, no network, no dependency: the examples and their tests use it. It is the method of
H. P. Luhn, "The Automatic Creation of Literature Abstracts", IBM Journal of Research and
Development 2(2), 1958: frequent words that carry meaning are significant, and a sentence counts as
much as its densest cluster of them. It extracts; it does not understand.

Run it alone: ``python examples/extractive_model.py README.md``
"""

import re
import sys
from collections import Counter
from pathlib import Path

LABEL = "offline extractive model"

# Luhn: significant words with more than four others between them do not support each other.
GAP_WORDS_MAX = 4

# Frequent in any English text, so their frequency says nothing about this one.
STOP_WORDS = frozenset(
    """a about after again all also an and any are as at be because been before being between both
    but by can cannot could did do does done each either else for from had has have here how if in
    into is it its just like may might more most must no nor not of off on once one only or other
    our out over own per same shall she should so some such than that the their them then there
    these they this those through to too two under until up use used uses using very was we were
    what when where which while who whose why will with would you your""".split()  # noqa: SIM905
)

# A sentence of fewer words is a label, of more a table that lost its form.
SENTENCE_WORDS_MIN = 6
SENTENCE_WORDS_MAX = 60

# Shorter words hardly ever carry meaning.
WORD_LETTERS_MIN = 3


def summarize(text: str, sentence_count: int = 3) -> list[str]:
    """Returns the highest-scoring sentences of ``text``, in the order in which they appear."""
    sentences = split_sentences(text)
    words = Counter(word for sentence in sentences for word in split_words(sentence))
    frequency_min = 2 if len(sentences) > sentence_count else 1
    significant = {word for word, count in words.items() if count >= frequency_min}
    ranked = sorted(
        range(len(sentences)),
        key=lambda index: (-score(sentences[index], significant), index),
    )
    return [sentences[index] for index in sorted(ranked[:sentence_count])]


def score(sentence: str, significant: set[str]) -> float:
    """Luhn's factor: the best cluster's significant words, squared, over the cluster's length."""
    hits = [index for index, word in enumerate(all_words(sentence)) if word in significant]
    best = 0.0
    start = 0
    for end in range(1, len(hits) + 1):
        if end == len(hits) or hits[end] - hits[end - 1] > GAP_WORDS_MAX:
            span = hits[end - 1] - hits[start] + 1
            best = max(best, (end - start) ** 2 / span)
            start = end
    return best


def split_sentences(text: str) -> list[str]:
    """Splits Markdown or plain prose into sentences; code, tables and headings are left out."""
    prose = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    lines = (line for line in prose.splitlines() if not re.match(r"\s*([#|>]|<!--)", line))
    paragraphs = re.split(r"\n\s*\n", re.sub(r"(?m)^\s*([-*]|\d+\.)\s+", "\n\n", "\n".join(lines)))
    found = []
    for paragraph in paragraphs:
        flat = " ".join(paragraph.split())
        found += [part for part in re.split(r"(?<=[.!?])\s+(?=[A-Z`])", flat) if is_sentence(part)]
    return found


def is_sentence(text: str) -> bool:
    """Whether this reads as a sentence rather than as a label or a fragment."""
    word_count = len(text.split())
    return SENTENCE_WORDS_MIN <= word_count <= SENTENCE_WORDS_MAX and text[-1] in ".!?:"


def all_words(sentence: str) -> list[str]:
    """Every word of a sentence, in lower case."""
    return re.findall(r"[a-z][a-z0-9_-]+", sentence.lower())


def split_words(sentence: str) -> list[str]:
    """The words of a sentence that can carry its meaning."""
    words = all_words(sentence)
    return [word for word in words if word not in STOP_WORDS and len(word) >= WORD_LETTERS_MIN]


if __name__ == "__main__":
    for name in sys.argv[1:] or [str(Path(__file__).resolve().parent.parent / "README.md")]:
        print(f"{name} ({LABEL}):")
        for line in summarize(Path(name).read_text(encoding="utf-8")):
            print(f"  - {line}")

# Output:
#
# $ python examples/extractive_model.py docs/durability.md
#
# docs/durability.md (offline extractive model):
#   - What was claimed at the crash is delivered again, and the lost delivery counts as an att...
#   - Step n+1 of a run comes into being in the commit that settles step n.
#   - A mail that a step sent before it died is sent again.
