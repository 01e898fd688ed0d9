"""Settings as typed classes: their schema, and what is read of them."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from respike.runs import sources
from respike.runs.result import SettingsError
from respike.workflow import dag, settings
from respike.workflow.settings import (
    Above,
    Count,
    Items,
    NonNegative,
    Positive,
    Range,
    Share,
    Whole,
    part,
)


@dataclass(frozen=True)
class Settings:
    epochs: Count
    beta: Share
    reset: Literal["zero", "subtract"]
    hidden: tuple[Count, ...]
    grad_clip: Positive | None
    detached: bool


GOOD = {
    "epochs": 2, "beta": 0.9, "reset": "zero", "hidden": [3, 4], "grad_clip": None,
    "detached": True,
}  # fmt: skip


# --------------------------------------------------------------------------------------- schema


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (Count, {"type": "integer", "minimum": 1}),
        (Whole, {"type": "integer", "minimum": 0}),
        (Positive, {"type": "number", "exclusiveMinimum": 0}),
        (NonNegative, {"type": "number", "minimum": 0}),
        (Share, {"type": "number", "minimum": 0, "maximum": 1}),
        (Annotated[int, Range(high=9)], {"type": "integer", "maximum": 9}),
        (
            Annotated[float, Above(0, high=1)],
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        ),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Literal["a", "b"] | None, {"enum": ["a", "b", None]}),
        (float | None, {"type": ["number", "null"]}),
        (Positive | None, {"type": ["number", "null"], "exclusiveMinimum": 0}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            Annotated[tuple[Positive, ...], Items(2, unique=True)],
            {
                "type": "array",
                "items": {"type": "number", "exclusiveMinimum": 0},
                "minItems": 2,
                "uniqueItems": True,
            },
        ),
        (
            Annotated[tuple[str, ...], Items()],
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
        ),
        (
            tuple[tuple[Whole, ...], ...],
            {"type": "array", "items": part(tuple[Whole, ...])},
        ),
    ],
)
def test_each_kind_of_annotation_has_its_schema(kind, expected):
    assert part(kind) == expected


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (dict, "no type of a setting"),
        (list[int], "no type of a setting"),
        (Any, "no type of a setting"),
        (tuple[int, str], "members of one type and any length"),
        (tuple[int], "members of one type and any length"),
        (int | str, "of one type, or of one type or null"),
        (int | str | None, "of one type, or of one type or null"),
        (Annotated[int, "at most 9"], "no bound of a setting"),
    ],
)
def test_an_annotation_that_a_schema_cannot_say_is_refused(kind, said):
    with pytest.raises(TypeError, match=said):
        part(kind)


def test_every_field_of_a_class_is_required_and_no_other_is_allowed():
    found = settings.schema(Settings)
    assert found["required"] == list(found["properties"]) == list(GOOD)
    assert found["additionalProperties"] is False
    assert found["properties"]["hidden"] == part(tuple[Count, ...])


def test_every_root_entry_of_every_source_has_its_class():
    for source in sources.found():
        for entry, body in sources.entries(source)[0].items():
            if "extends" not in body:
                module = sources.module_of(source, entry).rpartition(".")[2]
                assert settings.schema(settings.class_of(source, module))["required"]


def test_a_class_that_is_not_there_is_named():
    assert settings.class_of("kulkarni_forward", "full_pass").__name__ == "FullPass"
    with pytest.raises(AttributeError, match="NoSuchThing"):
        settings.class_of("kulkarni_forward", "no_such_thing")
    with pytest.raises(ImportError, match="no_such_source"):
        settings.class_of("no_such_source", "full_pass")


# ----------------------------------------------------------------------------------------- read


def read(**changes):
    return settings.read(json.dumps({**GOOD, **changes}), Settings)


def test_good_settings_are_read():
    assert read() == Settings(2, 0.9, "zero", (3, 4), None, True)
    assert read(beta=1).beta == 1 and read(grad_clip=0.5).grad_clip == 0.5
    assert read(hidden=[]).hidden == ()


def test_missing_and_unknown_settings_are_all_named():
    given = {**GOOD, "bta": 0.9}
    del given["beta"], given["reset"]
    with pytest.raises(SettingsError) as error:
        settings.read(json.dumps(given), Settings)
    allowed = ", ".join(sorted(GOOD))
    assert str(error.value) == (
        f"bta: unknown key; did you mean beta? (allowed: {allowed}); lacks beta, reset"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"epochs": 2.5}, "epochs: found 2.5, allowed is a whole number"),
        ({"epochs": 2.0}, "epochs: found 2.0, allowed is a whole number"),
        ({"epochs": True}, r"epochs: found true \(yes/no\), allowed is a whole number"),
        ({"epochs": 0}, "epochs: found 0, allowed is at least 1"),
        ({"beta": "0.9"}, r"beta: found '0.9' \(text\), allowed is a finite number"),
        ({"beta": False}, r"beta: found false \(yes/no\), allowed is a finite number"),
        ({"beta": None}, r"beta: found nothing \(null\), allowed is a finite number"),
        ({"beta": float("nan")}, "beta: found nan, allowed is a finite number"),
        ({"beta": float("inf")}, "beta: found inf, allowed is a finite number"),
        ({"beta": 1.5}, "beta: found 1.5, allowed is at least 0 and at most 1"),
        ({"reset": 1}, r"reset: found 1 \(allowed: zero, subtract\)"),
        ({"reset": "zeroo"}, "reset: found 'zeroo'.*; did you mean zero?"),
        ({"hidden": 3}, "hidden: found 3, allowed is a list"),
        ({"hidden": [3, "4"]}, r"hidden\[1\]: found '4' \(text\), allowed is a whole number"),
        ({"hidden": [3, 0]}, r"hidden\[1\]: found 0, allowed is at least 1"),
        ({"grad_clip": "1"}, r"grad_clip: found '1' \(text\), allowed is a finite number or null"),
        ({"grad_clip": 0}, "grad_clip: found 0, allowed is above 0"),
        ({"detached": 1}, "detached: found 1, allowed is true or false"),
        ({"epochs": {}}, "epochs: found a section, allowed is a whole number"),
    ],
)
def test_wrong_values_are_named(change, says):
    with pytest.raises(SettingsError, match=f"^{says}"):
        read(**change)


def test_lists_become_tuples_so_that_settings_cannot_be_changed():
    assert read(hidden=[5]).hidden == (5,)
    with pytest.raises(AttributeError):
        read().hidden = (6,)


def test_what_a_rule_hands_over_is_read_as_it_was_given():
    entries = sources.entries("poisson_mlp")[0]
    given = dag.resolved_settings(entries, "encode", "smoke")
    cls = settings.class_of("poisson_mlp", "encode")
    found = settings.read(dag.canonical_json(given), cls)
    assert {name: getattr(found, name) for name in given} == given | {
        "steps_curve": tuple(given["steps_curve"])
    }
