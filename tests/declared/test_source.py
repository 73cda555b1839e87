"""What is written in YAML keeps its place, so that errors can name it."""

from pathlib import Path

import pytest

from pytest_llmdbench.declared.source import load_yaml, parse_yaml
from pytest_llmdbench.errors import DeclarationError


def test_every_key_and_item_knows_its_line() -> None:
    source = parse_yaml("a:\n  b: 1\n  c:\n    - x\n    - y: 2\n", "f.yaml")
    assert source.where(("a", "b")) == "f.yaml:2"
    assert source.where(("a", "c", 1, "y")) == "f.yaml:5"


def test_what_has_no_line_is_placed_at_the_nearest_thing_around_it() -> None:
    assert parse_yaml("a:\n  b: 1\n", "f.yaml").where(("a", "missing", "deep")) == "f.yaml:1"


def test_a_key_that_stands_twice_is_an_error_that_names_both_lines() -> None:
    with pytest.raises(DeclarationError, match=r"f\.yaml:3: the key 'a' stands twice; first in line 1"):
        parse_yaml("a: 1\nb: 2\na: 3\n", "f.yaml")


def test_text_that_is_not_yaml_is_an_error_with_its_line() -> None:
    with pytest.raises(DeclarationError, match=r"f\.yaml:\d: not valid YAML"):
        parse_yaml("a: 1\nb: [1, 2\n", "f.yaml")


def test_yaml_cannot_make_python_objects() -> None:
    with pytest.raises(DeclarationError, match="not valid YAML"):
        parse_yaml("a: !!python/object/apply:os.system ['true']\n", "f.yaml")


def test_a_file_that_cannot_be_read_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"gone\.yaml: cannot be read"):
        load_yaml(tmp_path / "gone.yaml")


def test_an_empty_file_holds_nothing() -> None:
    assert parse_yaml("", "f.yaml").data is None


def test_a_key_that_is_a_list_is_an_error_with_its_line() -> None:
    with pytest.raises(DeclarationError, match=r"f\.yaml:2: a key is plain text"):
        parse_yaml("a: 1\n? [b, c]\n: 2\n", "f.yaml")
