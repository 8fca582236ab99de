"""ONNX's own tests of its operators, run against minicnn's importer.

The onnx package ships a backend test suite: models of one operator each (kind "node"), small models
("simple"), and what PyTorch exported ("pytorch-converted", "pytorch-operator"), with inputs and the
outputs that are right.  The kinds that need downloads ("light", "real") are not run.  The suite's
own runner lists every case twice, for cpu and cuda, and takes a backend's "not implemented"
exception for a pass; so the cases are loaded and compared here instead, each once, by the suite's
own rules: number of outputs, shapes and types equal, values within the case's rtol and atol
(1e-3 and 1e-7 by default).  Whatever raises has not passed.

- ``passed.txt`` lists exactly the cases that pass, one a line, sorted.
- ``test_conformance.py`` fails if one of them does not, and if any other one does.
- ``python -m tests.conformance.update`` writes the list anew; look at its difference before you
  commit it: a name may only go if something is wrong with the case.
- ``python -m tests.conformance.table`` prints passed and all cases by operator, and why some are
  left out, as a table in Markdown.
- ``python -m tests.conformance.update -k NAME`` only runs the cases whose names contain NAME and
  prints what they say.

The list belongs to one version of the onnx package, which pyproject.toml pins.
"""
