"""`python -m devtools.schemas [--check]`: JSON Schemas of everything people and programs exchange with Airlock."""

import ast
import inspect
import json
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema

from airlock.admission.configuration.config import Config
from airlock.alerts.webhook import Notification
from airlock.base.incoming import Verdict
from airlock.export.files import LINES, export_schemas
from airlock.plans.assignments import Assignments
from airlock.plans.plan import Plan
from airlock.run.messages import MESSAGES
from airlock.run.presentation.views import AuditView, PlanResult, PreviewView, StatusView
from devtools.environment import ROOT
from devtools.generated import application

FOLDER = ROOT / "schemas"


class Validations(BaseModel):
    """The validations file that goes with an older plan. It must be about that plan, and approve it."""

    model_config = ConfigDict(extra="allow")
    validation_id: str = Field(min_length=1)
    plan_id: str = ""
    approved: Literal[True] = True


class _Described(GenerateJsonSchema):
    """A generator that takes the description of a field from the text below it in the source.

    Pydantic's own `use_attribute_docstrings` reads the source whenever a class is created, also in every worker.
    """

    def model_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a model with the descriptions of its fields."""
        found = super().model_schema(schema)
        for base in reversed(schema["cls"].__mro__):
            if issubclass(base, BaseModel) and base is not BaseModel:
                for name, text in _field_texts(base).items():
                    if name in found.get("properties", {}):
                        found["properties"][name].setdefault("description", text)
        return found


def _field_texts(model: type[BaseModel]) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError):  # a class that was made at run time has no source
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by file name."""
    files: dict[str, tuple[type[BaseModel], str]] = {
        "plan": (Plan, "A plan file"),
        "assignments": (Assignments, "A plan file in the older format"),
        "validations": (Validations, "The validations file of an older plan"),
        "config": (Config, "airlock.toml"),
    }
    views: dict[str, tuple[type[BaseModel], str]] = {
        "verdict": (Verdict, "The answer of the update decide"),
        "status": (StatusView, "The answer of the query status"),
        "preview": (PreviewView, "The answer of the query preview"),
        "audit": (AuditView, "The answer of the query audit"),
        "result": (PlanResult, "The result of a plan's run"),
        "notification": (Notification, "The body of a webhook about plans"),
    }
    found = {
        name: _schema(name, title, model.model_json_schema(schema_generator=_Described))
        for name, (model, title) in files.items()
    }
    for name, message in MESSAGES.items():
        said = {**message.model_json_schema(schema_generator=_Described), "additionalProperties": False}
        found[f"signal-{name}"] = _schema(f"signal-{name}", f"The signal {name}", said)
    found["decide"] = _schema("decide", "The update decide: a signal's object with its name", _decide())
    for name, (model, title) in views.items():
        found[name] = _schema(name, title, model.model_json_schema(schema_generator=_Described, mode="serialization"))
    lines = {name.partition(".")[0] for name in LINES}
    for name, exported in export_schemas().items():
        title = f"A line of {name}.jsonl" if name in lines else f"{name}.json"
        found[name] = _schema(name, title, exported)
    return {f"{name}.schema.json": schema for name, schema in found.items()}


def _decide() -> dict[str, Any]:
    """Return one alternative for each decision, distinguished by the field `decision`."""
    alternatives: list[Any] = []
    for name, model in MESSAGES.items():
        named: Any = Literal[name]
        alternatives.append(create_model(model.__name__, __base__=model, __doc__=model.__doc__, decision=(named, ...)))
    union: Any = alternatives[0]
    for alternative in alternatives[1:]:
        union = union | alternative
    return TypeAdapter(union).json_schema(schema_generator=_Described)


def _schema(name: str, title: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    first = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{name}.schema.json", "title": title}
    return {**first, **{key: value for key, value in schema.items() if key not in first}}


def _files() -> dict[Path, str]:
    return {FOLDER / name: json.dumps(schema, indent=2, sort_keys=False) + "\n" for name, schema in schemas().items()}


if __name__ == "__main__":
    application(_files, "make schemas")()
