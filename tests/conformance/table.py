"""Prints passed and all cases by operator: ``python -m tests.conformance.table``."""

from __future__ import annotations

from collections import defaultdict

from tests.conformance.cases import Case, all_cases, listed

HELPERS = {"Constant", "Identity", "Neg", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
THEMES = {
    "shaping": "shapes", "indexing": "indexing", "arithmetic": "arithmetic",
    "logic": "logic and types", "activation": "activations", "reductions": "reductions",
    "linear": "matrix products", "convolution": "convolutions", "pooling": "pooling",
    "normalization": "normalisation", "resizing": "resizing", "sampling": "sampling",
    "regions": "regions", "losses": "losses", "quantization": "quantisation",
    "flow": "control flow",
}  # fmt: skip
# What no table of operators has: a group, and why.  Some of these pass all the same, for ONNX
# defines them by operators that are there.
OTHERS = {
    "attention": (
        {"Attention", "FlexAttention", "LinearAttention", "RotaryEmbedding", "CausalConvWithState"},
        "no ops of a course on convolutional networks; they are run by ONNX's own definitions, but "
        "for bfloat16 and one of float16 (rounded otherwise)",
    ),
    "by definition": (
        {"AffineGrid", "CenterCropPad", "SwiGLU", "HannWindow", "HammingWindow", "BlackmanWindow"},
        "run by ONNX's own definitions; SwiGLU of float16 is rounded otherwise",
    ),
    "recurrent": ({"RNN", "GRU", "LSTM"}, "no recurrent nets here"),
    "sequences": (
        {"SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert",
         "SequenceLength", "SequenceMap", "SplitToSequence", "ConcatFromSequence"},
        "values are tensors, not lists of them",
    ),
    "optional values": (
        {"Optional", "OptionalGetElement", "OptionalHasElement"}, "values are tensors"
    ),
    "text": (
        {"StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch", "TfIdfVectorizer"},
        "tensors hold numbers",
    ),
    "random numbers": (
        {"Bernoulli", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"},
        "cannot agree with another generator's numbers",
    ),
    "signals": ({"DFT", "STFT", "MelWeightMatrix"}, "complex numbers"),
    "picture files": ({"ImageDecoder"}, "minicnn.data reads pictures"),
    "training": ({"Adagrad", "Adam", "Momentum", "Gradient"}, "minicnn.optim and autograd do this"),
    "classic machine learning": (
        {"ArrayFeatureExtractor", "Binarizer", "LabelEncoder", "TreeEnsemble"},
        "the domain ai.onnx.ml",
    ),
    "deformable convolution": ({"DeformConv"}, "not among the course's ops"),
}  # fmt: skip
BFLOAT = "bfloat16, which NumPy has not"
WHY = {
    "shapes": f"sequences and optional values; {BFLOAT}",
    "indexing": BFLOAT,
    "logic and types": "bfloat16 and floats and ints of 8 bits or fewer, which NumPy has not; text",
    "activations": BFLOAT,
    "matrix products": BFLOAT,
    "normalisation": "dropout's numbers are those of NumPy's old generator",
    "quantisation": "float8, int4 and the like, which NumPy has not",
    "control flow": "sequences and optional values",
}


def operator_of(case: Case, cases: dict[str, Case]) -> str:
    """Return the operator that a case is about."""
    whole, expanded, _ = case.name.partition("_expanded")
    if expanded and whole in cases:
        case = cases[whole]
    kinds = [node.op_type for node in case.model.graph.node]
    left_out = {kind for others, _ in OTHERS.values() for kind in others}
    return next(
        (kind for kind in kinds if kind in left_out),
        next((kind for kind in kinds if kind not in HELPERS), kinds[0]),
    )


def group_of(kind: str) -> str:
    """Return the group of an operator."""
    from minicnn.interop.onnx import _operators

    if kind == "Constant":
        return "shapes"
    for theme, group in THEMES.items():
        if kind in getattr(_operators, theme).OPERATORS:
            return group
    return next((name for name, (kinds, _) in OTHERS.items() if kind in kinds), "others")


def rows() -> list[tuple[str, int, int, str, str]]:
    """Return (group, passed, all, its operators with their counts, why some are left out)."""
    cases, passed = all_cases(), set(listed())
    counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for case in cases.values():
        kind = operator_of(case, cases)
        count = counts[group_of(kind)][kind]
        count[0] += case.name in passed
        count[1] += 1
    order = [*THEMES.values(), *OTHERS, "others"]
    found = []
    for group in sorted(counts, key=order.index):
        kinds = counts[group]
        done, total = (sum(count[i] for count in kinds.values()) for i in (0, 1))
        listing = ", ".join(f"{kind} {a}/{b}" for kind, (a, b) in sorted(kinds.items()))
        why = OTHERS[group][1] if group in OTHERS else WHY.get(group, "") if done < total else ""
        found.append((group, done, total, listing, why))
    return found


def main() -> None:
    """Print the table."""
    table = rows()
    print("| group | passed | cases | by operator | left out because |")
    print("|---|---:|---:|---|---|")
    for group, done, total, listing, why in table:
        print(f"| {group} | {done} | {total} | {listing} | {why} |")
    print(f"| **all** | **{sum(r[1] for r in table)}** | **{sum(r[2] for r in table)}** | | |")


if __name__ == "__main__":
    main()
