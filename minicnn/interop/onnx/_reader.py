"""Reading ONNX's files: the model, its weights, its attributes, as plain Python."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minicnn.errors import ConfigError, DataError
from minicnn.interop.onnx._operator import DTYPES, Misfit, type_name

Proto = Any  # a message of the onnx package, which is imported when it is needed


def onnx_package() -> ModuleType:
    """Return the onnx package."""
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise ConfigError(
            f"from_onnx: needs the onnx package, which is not here ({error}); install it with: "
            "pip install 'minicnn[onnx]'"
        ) from error


def read_model(source: Any) -> tuple[Proto, str]:
    """Return a model with all its weights, and what to call it in messages.

    Parameters
    ----------
    source : str, Path, bytes or onnx.ModelProto
        The model, or where it is.

    Returns
    -------
    ModelProto, str
        With the weights that lie in other files, and without local functions.

    Raises
    ------
    ConfigError
        If `source` is none of these.
    DataError
        If there is no model in it, or weights are missing.
    """
    onnx = onnx_package()
    if isinstance(source, onnx.ModelProto):
        model, label, folder = source, f"model {source.graph.name!r}", None
    elif isinstance(source, bytes | bytearray | memoryview):
        model, label, folder = _parse(bytes(source), "bytes"), "bytes", None
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"from_onnx: cannot read {path}: {error.strerror or error}") from error
        model, label, folder = _parse(content, str(path)), str(path), path.parent
    else:
        raise ConfigError(
            f"from_onnx: takes a path, bytes or an onnx.ModelProto, not a {type(source).__name__}"
        )
    _check_external(model, label, folder)
    if folder is not None:
        _load_external(model, label, folder)
    return _inlined(model, label), label


def _parse(content: bytes, label: str) -> Proto:
    onnx = onnx_package()
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:
        raise DataError(f"from_onnx: {label} is no ONNX model ({error})") from error
    if not model.ir_version or not model.HasField("graph"):
        raise DataError(
            f"from_onnx: {label} is no ONNX model: it holds no graph ({len(content)} bytes)"
        )
    return model


def _check_external(model: Proto, label: str, folder: Path | None) -> None:
    """Name the files of weights that are not there, all of them at once."""
    missing: dict[str, list[str]] = {}
    for tensor in _tensors(model.graph):
        if tensor.data_location == tensor.EXTERNAL:
            where = next((e.value for e in tensor.external_data if e.key == "location"), "")
            if folder is None or not (folder / where).is_file():
                missing.setdefault(where, []).append(tensor.name)
    if missing:
        what = "; ".join(
            f"{where!r} with {names[0]!r}" + (f" and {len(names) - 1} more" if names[1:] else "")
            for where, names in missing.items()
        )
        hint = (
            "give the path of the model instead, so that they are found beside it"
            if folder is None
            else f"put them into {folder}"
        )
        raise DataError(f"from_onnx: {label} keeps weights in other files: {what}; {hint}")


def _load_external(model: Proto, label: str, folder: Path) -> None:
    try:
        onnx_package().load_external_data_for_model(model, str(folder))
    except Exception as error:  # a path out of the folder, a file too short, ...
        raise DataError(f"from_onnx: weights of {label} cannot be read: {error}") from error


def _tensors(graph: Proto) -> Iterator[Proto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)


def _inlined(model: Proto, label: str) -> Proto:
    """Replace calls of the model's own functions by what they compute."""
    if not model.functions:
        return model
    inliner = importlib.import_module("onnx.inliner")
    try:
        return inliner.inline_local_functions(model, convert_version=True)
    except Exception as error:
        raise DataError(
            f"from_onnx: the functions of {label} cannot be expanded: {error}"
        ) from error


def expanded(model: Proto, kinds: list[tuple[str, str]], opsets: Mapping[str, int]) -> Proto | None:
    """Replace operators by what ONNX says they are made of; None where it does not say."""
    onnx, inliner = onnx_package(), importlib.import_module("onnx.inliner")
    complete = onnx.ModelProto()
    complete.CopyFrom(model)
    # Definitions depend on types, which the inliner only looks up among values: it gets those of
    # the weights (which themselves stay here), and none for inputs that are left out.
    del complete.graph.initializer[:]
    listed = {value.name for value in complete.graph.input}
    make = onnx.helper.make_tensor_value_info
    complete.graph.value_info.extend(
        make(t.name, t.data_type, t.dims) for t in model.graph.initializer if t.name not in listed
    )
    complete.graph.value_info.add().type.CopyFrom(onnx.TypeProto())
    _add_defaults(complete.graph, set(kinds), opsets)
    try:
        larger = inliner.inline_selected_functions(complete, kinds, inline_schema_functions=True)
    except Exception:  # an onnx before 1.19 has no such option; or types that it cannot infer
        return None
    larger.graph.initializer.extend(model.graph.initializer)
    return larger


def _add_defaults(graph: Proto, kinds: set[tuple[str, str]], opsets: Mapping[str, int]) -> None:
    """Write out the attributes that nodes leave to their defaults: definitions refer to them."""
    defs = onnx_package().defs
    for node in graph.node:
        domain = plain_domain(node.domain)
        if (domain, node.op_type) in kinds:
            schema = defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
            given = {a.name for a in node.attribute}
            node.attribute.extend(
                a.default_value
                for name, a in schema.attributes.items()
                if name not in given and a.default_value.name
            )
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _add_defaults(attribute.g, kinds, opsets)


def exists(domain: str, kind: str, opset: int) -> bool:
    """Tell whether an operator exists in an opset; of a domain that is not ONNX's, always."""
    defs = onnx_package().defs
    if not defs.has(kind, domain):
        return True
    try:
        defs.get_schema(kind, opset, domain)
    except defs.SchemaError:
        return False
    return True


def plain_domain(domain: str) -> str:
    """Return a domain's name; the operators' own has two."""
    return "" if domain == "ai.onnx" else domain


def has_definition(domain: str, kind: str, opset: int) -> bool:
    """Tell whether ONNX defines this operator in terms of others."""
    defs = onnx_package().defs
    try:
        schema = defs.get_schema(kind, opset, domain)
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def array_of(tensor: Proto) -> np.ndarray:
    """Return a tensor's value."""
    if tensor.data_type not in DTYPES:
        raise Misfit(f"{tensor.name or 'a constant'} is of type {type_name(tensor.data_type)}")
    return np.array(onnx_package().numpy_helper.to_array(tensor))


def attribute_of(attribute: Proto) -> Any:
    """Return an attribute's value; of a graph and a type, ONNX's own message."""
    value = onnx_package().helper.get_attribute_value(attribute)
    if attribute.type == attribute.STRING:
        return value.decode("utf-8", "replace")
    if attribute.type == attribute.STRINGS:
        return tuple(text.decode("utf-8", "replace") for text in value)
    if attribute.type == attribute.TENSOR:
        return array_of(value)
    if attribute.type in (attribute.INTS, attribute.FLOATS):
        return tuple(value)
    if attribute.type in (attribute.INT, attribute.FLOAT, attribute.GRAPH):
        return value
    kind = attribute.AttributeType.Name(attribute.type).lower()
    raise Misfit(f"its attribute {attribute.name} is of kind {kind}")
