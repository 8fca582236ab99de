"""The report on this machine."""

import os
import subprocess
import sys

from minicnn import doctor
from minicnn.kernels.cpu.vector import objects


def test_report_names_everything_and_ends_well(capsys):
    assert doctor.main() == 0
    lines = capsys.readouterr().out
    for name in ("Python", "NumPy", "BLAS", "Numba", "Numba threads", "CuPy", "GPU", "MPI", "ONNX"):
        assert f" {name} " in lines


def test_whatever_is_missing_comes_with_the_line_that_adds_it():
    findings = doctor.examine()
    for finding in findings:
        if finding.name != "Kernel threads":
            assert finding.found or finding.remedy, finding


def test_a_wrong_number_of_threads_is_a_finding_and_no_crash():
    output = subprocess.run(
        [sys.executable, "-m", "minicnn.doctor"],
        env={**os.environ, "MINICNN_THREADS": "many"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "missing  Kernel threads" in output
    assert "MINICNN_THREADS must be a whole number >= 1, got 'many'" in output


def test_vector_code_is_reported_with_its_width_or_as_switched_off(monkeypatch):
    monkeypatch.setattr(objects, "machine", lambda: objects.Machine(8, 16))
    assert "256 bits; compiled kernels in " in doctor._vector_code().detail
    monkeypatch.setattr(objects, "machine", lambda: None)
    assert not doctor._vector_code().found


def test_a_missing_requirement_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(
        doctor, "examine", lambda: [doctor.Finding("Numba", False, "not installed", "pip install")]
    )
    assert doctor.main() == 1
    assert "to add it: pip install" in capsys.readouterr().out
