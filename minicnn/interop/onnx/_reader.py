"""Reading ONNX's files: the model, its weights, its attributes, as plain Python."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from minicnn._reading import explained, read_regular, shown
from minicnn.errors import ConfigError, DataError
from minicnn.interop.onnx._checking import check_model, within
from minicnn.interop.onnx._external import load_external
from minicnn.interop.onnx._operator import Misfit

_LARGEST_FILE = 2**31 - 1  # bytes; protobuf counts them in 31 bits
_MOST_EXPANDED = 10_000  # nodes that ONNX's definitions may replace; one has up to some 100 nodes

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
    folder = None
    if isinstance(source, onnx.ModelProto):
        model, label = source, f"model {shown(str(source.graph.name))!r}"
    elif isinstance(source, bytes | bytearray | memoryview):
        model, label = _parse(bytes(source), "bytes"), "bytes"
    elif isinstance(source, str | os.PathLike):
        label, folder = shown(source), Path(source).parent
        model = _parse(_read_file(source), label)
    else:
        raise ConfigError(
            f"from_onnx: takes a path, bytes or an onnx.ModelProto, not a {type(source).__name__}"
        )
    with naming(label):
        check_model(model)
        load_external(model, label, folder)
    return _inlined(model, label), label


@contextlib.contextmanager
def naming(label: str) -> Iterator[None]:
    """Put the name of the file into an error's text, if it is not there."""
    try:
        yield
    except (DataError, ConfigError) as error:
        if label in str(error):
            raise
        raise type(error)(f"from_onnx: {label} {error}") from error
    except Misfit as misfit:
        raise DataError(f"from_onnx: {label}: {misfit}") from None


def _read_file(source: str | os.PathLike[str]) -> bytes:
    try:
        with explained():
            return read_regular(source, _LARGEST_FILE)
    except DataError as error:
        raise DataError(f"from_onnx: {shown(source)} {error}") from error


def _parse(content: bytes, label: str) -> Proto:
    onnx = onnx_package()
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception as error:
        why = shown(str(error))[:200]
        raise DataError(f"from_onnx: {label} is no ONNX model ({why})") from error
    if not model.ir_version or not model.HasField("graph"):
        raise DataError(
            f"from_onnx: {label} is no ONNX model: it holds no graph ({len(content)} bytes)"
        )
    return model


def _inlined(model: Proto, label: str) -> Proto:
    """Replace calls of the model's own functions by what they compute."""
    if not model.functions:
        return model
    inliner = importlib.import_module("onnx.inliner")
    try:
        return inliner.inline_local_functions(model, convert_version=True)
    except Exception as error:
        raise DataError(
            f"from_onnx: the functions of {label} cannot be expanded: {shown(str(error))}"
        ) from error


def expanded(model: Proto, kinds: list[tuple[str, str]], opsets: Mapping[str, int]) -> Proto | None:
    """Replace operators by what ONNX says they are made of; None where it does not say."""
    count = sum((plain_domain(n.domain), n.op_type) in kinds for n in within(model.graph.node))
    if count > _MOST_EXPANDED:
        raise DataError(
            f"has {count:,} nodes of {', '.join(kind for _, kind in kinds)}, which are replaced by "
            f"their definitions; more than {_MOST_EXPANDED:,} are refused"
        )
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
