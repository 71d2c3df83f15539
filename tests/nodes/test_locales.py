"""Translations: complete, and faithful where a slip can be told without knowing the language."""

import re
from collections import Counter, defaultdict

import pytest

import locales
from locales import ENGLISH, FOLDER, LANGUAGES, NODES_FILE, differences, flatten, read_locale

# A text of ComfyUI's front end may hold instructions in these; ours are plain.
INSTRUCTIONS = re.compile(r"[{}|@]")
PROSE = ("tooltip", "description")
LITERALS = (
    re.compile(r"\d+(?:\.\d+)?(?: [MG]B)?"),
    re.compile(r"(?<!\w)'[^']+'(?!\w)"),  # 'as input'
    re.compile(r"models/\w+"),
    re.compile(r"(?<!\w)\.[a-z]\w+"),  # .safetensors
    re.compile(r"\b[A-Z][A-Z_]{2,}\b(?:=\d)?"),  # RGB, ORIGINAL_IMAGE, GPEN_DOWNLOAD=0
    re.compile(r"\b[A-Z]\w*[a-z][A-Z]\w*"),  # ReActor
    re.compile(r"\b[a-z]+\d[\d.]*\b"),  # fp16, mobile0.25
)


@pytest.fixture(scope="module")
def node_classes(pack):
    return locales.node_classes(pack)


@pytest.fixture(scope="module")
def english(node_classes):
    return locales.english_texts(node_classes)


@pytest.fixture(params=LANGUAGES)
def translated(request):
    return read_locale(request.param)


def _pairs(english, translated):
    texts = dict(flatten(translated))
    return [(key, text, texts[key]) for key, text in flatten(english)]


def test_english_is_what_the_schemas_say(english):
    assert read_locale(ENGLISH) == english, "run: python tools/locales.py"


def test_every_language_has_all_texts_and_no_others(english, translated):
    assert differences(english, translated) == []


def test_there_are_no_other_languages_than_those_checked():
    assert {folder.name for folder in FOLDER.iterdir()} == {ENGLISH, *LANGUAGES}


def test_no_text_holds_what_the_front_end_would_interpret(english, translated):
    for texts in (english, translated):
        assert [key for key, text in flatten(texts) if INSTRUCTIONS.search(text)] == []


def test_numbers_files_and_names_are_kept(english, translated):
    for key, text, translation in _pairs(english, translated):
        for literal in LITERALS:
            wanted = Counter(literal.findall(text) if key[-1] in PROSE else ())
            missing = {word: n for word, n in wanted.items() if translation.count(word) < n}
            assert not missing, (key, translation)


def test_options_are_called_as_the_menu_calls_them(node_classes, english, translated):
    n_checked = 0
    for node in node_classes:
        schema = node.GET_SCHEMA()
        for widget in schema.inputs:
            text = translated[NODES_FILE][schema.node_id]["inputs"][widget.id]["tooltip"]
            for option in getattr(widget, "options", None) or ():
                if re.search(rf"(?<!\w){re.escape(str(option))}(?!\w)", widget.tooltip):
                    assert str(option) in text, (schema.node_id, widget.id)
                    n_checked += 1
    assert n_checked > 40


def test_texts_that_name_a_node_or_a_widget_use_its_translated_name(english, translated):
    nodes = {
        texts["display_name"]: translated[NODES_FILE][node_id]["display_name"]
        for node_id, texts in english[NODES_FILE].items()
    }
    for key, text, translation in _pairs(english[NODES_FILE], translated[NODES_FILE]):
        if key[-1] not in PROSE:
            continue
        for name, translated_name in nodes.items():
            assert (name in text) <= (translated_name in translation), (key, translation)
        for widget, texts in translated[NODES_FILE][key[0]]["inputs"].items():
            if "_" in widget and re.search(rf"\b{widget}\b", text):
                assert texts["name"] in translation, (key, translation)


def test_no_two_inputs_of_a_node_look_alike(translated):
    for node_id, texts in translated[NODES_FILE].items():
        names = Counter(texts["name"] for texts in texts["inputs"].values())
        assert [name for name, n in names.items() if n > 1] == [], node_id


def test_the_same_english_is_translated_alike_everywhere(english, translated):
    found = defaultdict(set)
    for _, text, translation in _pairs(english, translated):
        found[text].add(translation)
    assert {text: ways for text, ways in found.items() if len(ways) > 1} == {}


def test_differences_name_what_is_missing_empty_and_left_over():
    english = {"a": {"b": "one", "c": "two"}, "d": "three"}
    translated = {"a": {"b": " ", "x": "vier"}, "d": "drei"}
    assert differences(english, translated) == ["missing: a/c", "empty: a/b", "left over: a/x"]
