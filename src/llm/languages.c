/* SPDX-License-Identifier: Apache-2.0 */
/* Stop words by language: sorted, accents folded, as vocabulary_words folds them. */
#include "llm/languages.h"

static const char *const english[] = {
        "a",     "about",   "above",   "after",  "again", "all",    "also",    "am",     "an",
        "and",   "any",     "are",     "as",     "at",    "be",     "because", "been",   "before",
        "being", "below",   "between", "both",   "but",   "by",     "can",     "could",  "did",
        "do",    "does",    "doing",   "don",    "down",  "during", "each",    "few",    "for",
        "from",  "further", "had",     "has",    "have",  "having", "he",      "her",    "here",
        "hers",  "him",     "his",     "how",    "i",     "if",     "in",      "into",   "is",
        "isn",   "it",      "its",     "itself", "just",  "ll",     "me",      "more",   "most",
        "my",    "no",      "nor",     "not",    "now",   "of",     "off",     "on",     "once",
        "only",  "or",      "other",   "our",    "out",   "over",   "own",     "please", "re",
        "s",     "same",    "she",     "should", "so",    "some",   "such",    "t",      "tell",
        "than",  "that",    "the",     "their",  "them",  "then",   "there",   "these",  "they",
        "this",  "those",   "through", "to",     "too",   "under",  "until",   "up",     "ve",
        "very",  "was",     "we",      "were",   "what",  "when",   "where",   "which",  "while",
        "who",   "whom",    "why",     "will",   "with",  "would",  "you",     "your",
};

static const char *const german[] = {
        "aber",   "alle",  "als",  "also",   "am",      "an",      "auch", "auf",   "aus",
        "bei",    "bin",   "bis",  "bist",   "da",      "damit",   "dann", "das",   "dass",
        "dein",   "dem",   "den",  "der",    "des",     "die",     "dies", "diese", "dieser",
        "dieses", "doch",  "dort", "du",     "durch",   "ein",     "eine", "einem", "einen",
        "einer",  "eines", "er",   "es",     "euer",    "fur",     "hat",  "hatte", "hier",
        "ich",    "ihr",   "im",   "in",     "ist",     "ja",      "kann", "kein",  "keine",
        "man",    "mein",  "mit",  "nach",   "nicht",   "noch",    "nun",  "nur",   "ob",
        "oder",   "ohne",  "sehr", "sein",   "seine",   "sich",    "sie",  "sind",  "so",
        "uber",   "um",    "und",  "uns",    "unter",   "vom",     "von",  "vor",   "war",
        "warum",  "was",   "weil", "welche", "welcher", "welches", "wenn", "wer",   "wie",
        "wieder", "wir",   "wird", "wo",     "zu",      "zum",     "zur",
};

static const char *const french[] = {
        "a",     "ai",   "au",       "aux",   "avec",  "ce",   "ces",  "cette",  "comment",
        "d",     "dans", "de",       "des",   "du",    "elle", "en",   "est",    "et",
        "eu",    "il",   "ils",      "j",     "je",    "l",    "la",   "le",     "les",
        "leur",  "lui",  "m",        "ma",    "mais",  "me",   "meme", "mes",    "mon",
        "n",     "ne",   "nos",      "notre", "nous",  "on",   "ou",   "par",    "pas",
        "plus",  "pour", "pourquoi", "qu",    "quand", "que",  "quel", "quelle", "quelles",
        "quels", "qui",  "quoi",     "s",     "sa",    "sans", "se",   "ses",    "son",
        "sont",  "sur",  "t",        "ta",    "te",    "tes",  "toi",  "ton",    "tu",
        "un",    "une",  "vos",      "votre", "vous",  "y",
};

static const char *const spanish[] = {
        "a",     "al",   "algo",   "como",    "con",   "cual",  "cuando", "de",   "del",   "desde",
        "donde", "el",   "ella",   "ellos",   "en",    "entre", "era",    "es",   "esa",   "ese",
        "eso",   "esta", "estan",  "este",    "esto",  "fue",   "ha",     "han",  "hasta", "hay",
        "la",    "las",  "le",     "les",     "lo",    "los",   "mas",    "me",   "mi",    "mucho",
        "muy",   "nada", "ni",     "no",      "nos",   "o",     "os",     "otro", "para",  "pero",
        "poco",  "por",  "porque", "que",     "quien", "se",    "ser",    "si",   "sin",   "sobre",
        "son",   "su",   "sus",    "tambien", "te",    "tiene", "todo",   "tu",   "un",    "una",
        "uno",   "y",    "ya",     "yo",
};

static const char *const italian[] = {
        "a",      "ad",    "agli",  "ai",     "al",     "alla",   "alle",   "anche", "c",   "che",
        "chi",    "ci",    "come",  "con",    "cosa",   "da",     "dal",    "dalla", "dei", "del",
        "della",  "delle", "di",    "dove",   "e",      "ed",     "era",    "gli",   "ha",  "hanno",
        "i",      "il",    "in",    "io",     "l",      "la",     "le",     "lei",   "lo",  "loro",
        "lui",    "ma",    "mi",    "ne",     "nel",    "nella",  "noi",    "non",   "o",   "per",
        "perche", "piu",   "quale", "quando", "quello", "questa", "questo", "qui",   "se",  "sei",
        "si",     "sono",  "su",    "sua",    "sul",    "sulla",  "suo",    "ti",    "tra", "tu",
        "tutti",  "tutto", "un",    "una",    "uno",    "voi",
};

static const char *const portuguese[] = {
        "a",     "ao",     "aos",   "as",     "ate",  "com",  "como", "da",   "das",
        "de",    "dela",   "dele",  "do",     "dos",  "e",    "ela",  "ele",  "eles",
        "em",    "entre",  "era",   "essa",   "esse", "esta", "este", "eu",   "foi",
        "ha",    "isso",   "isto",  "ja",     "la",   "lhe",  "mais", "mas",  "me",
        "mesmo", "meu",    "minha", "muito",  "na",   "nao",  "nas",  "no",   "nos",
        "nossa", "nosso",  "o",     "onde",   "os",   "ou",   "para", "pela", "pelo",
        "por",   "porque", "qual",  "quando", "que",  "quem", "se",   "sem",  "ser",
        "seu",   "sua",    "suas",  "tem",    "teu",  "um",   "uma",  "voce",
};

static const char *const dutch[] = {
        "aan",   "al",     "als",    "bij", "dan",  "dat",   "de",     "der",  "deze",   "die",
        "dit",   "doch",   "door",   "dus", "een",  "en",    "er",     "ge",   "geen",   "had",
        "heb",   "hebben", "heeft",  "hem", "het",  "hij",   "hoe",    "hun",  "iemand", "ik",
        "in",    "is",     "ja",     "je",  "kan",  "maar",  "me",     "meer", "men",    "met",
        "mij",   "mijn",   "moet",   "na",  "naar", "niet",  "nog",    "nu",   "of",     "om",
        "omdat", "ons",    "ook",    "op",  "over", "te",    "tegen",  "toch", "toen",   "tot",
        "u",     "uit",    "uw",     "van", "veel", "voor",  "waarom", "was",  "wat",    "we",
        "wel",   "welke",  "werd",   "wie", "wij",  "wordt", "zal",    "ze",   "zich",   "zij",
        "zijn",  "zo",     "zonder", "zou",
};

#define LANGUAGE(name)                                                                             \
        {                                                                                          \
#name, name, sizeof(name) / sizeof((name)[0])                                      \
        }
const struct language languages[] = {
        LANGUAGE(english), LANGUAGE(german),     LANGUAGE(french), LANGUAGE(spanish),
        LANGUAGE(italian), LANGUAGE(portuguese), LANGUAGE(dutch),
};
const size_t language_count = sizeof(languages) / sizeof(languages[0]);
