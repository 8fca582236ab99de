"""The look at a run's numbers on a GPU, in captured steps, and in mixed precision."""

import numpy as np
import pytest
from planted import batches, broken, line, spoiling, with_no_slope

from minicnn.data import Dataset
from minicnn.estimator import load_checkpoint
from minicnn.optim import SGD

numpy_complains = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@numpy_complains
@pytest.mark.parametrize("captured", [False, True])
def test_a_loss_on_a_gpu(cuda, device, captured, tmp_path):
    """Infinite, with finite gradients: a captured step is looked at when it is done."""
    rows = np.repeat(np.float32([[1, 2]]), 9, 0)
    rows[6] = 3e38
    config = {"device": device, "cuda_graph": captured, "check_numbers": 1}
    run = line(lambda p: SGD(p, 1e-39, momentum=0), folder=tmp_path, **config)
    message = broken(run, lambda: Dataset.from_slices(rows).batch(1), 7 if captured else 6)
    assert "train: the loss is inf " + ("after" if captured else "in") + " step 7" in message


@numpy_complains
@pytest.mark.parametrize("captured", [False, True])
def test_on_a_gpu(cuda, device, captured, tmp_path):
    """No look in every step, for the host would wait; but before a save, and now and then."""
    rows = np.arange(28, dtype=np.float32).reshape(14, 2)

    def run(folder, **config):
        return line(
            spoiling(10),
            folder=tmp_path / folder,
            device=device,
            cuda_graph=captured,
            **config,
        )

    message = broken(run("a", save_every=6), lambda: Dataset.from_slices(rows).batch(1), 12)
    assert "so this arose in steps 7 to 12" in message
    assert load_checkpoint(tmp_path / "a" / "checkpoints").step == 6
    exact = run("b", save_every=6, check_numbers=1)
    message = broken(exact, lambda: Dataset.from_slices(rows).batch(1), 10)
    assert "step 10 made the parameter(s) 'p' NaN or infinite" in message
    batch = load_checkpoint(tmp_path / "b" / "faults").state["features"]
    np.testing.assert_array_equal(batch, rows[9:10])


@numpy_complains
def test_in_mixed_precision_a_gradient_that_no_scale_mends_names_the_op(tmp_path):
    """One that overflows is the LossScaler's business; the steps it leaves out are no fault."""
    run = line(
        lambda p: SGD(p, 0.1),
        loss=lambda p, x: with_no_slope(p * x).sum(),
        folder=tmp_path,
        precision="float16",
    )
    message = broken(run, lambda: batches([1, 2])().repeat(), 40)
    assert message.startswith("LossScaler: a gradient is not finite even with the loss scaled by")
    assert "; gradient of with_no_slope: 2 of 2 elements of dL/d(its input) (1, 2)" in message
    assert f"the batch is saved in {tmp_path / 'faults' / 'step-00000041'} (" in message
    assert run.loss_scaler.scale == 2.0**-24
    run = line(lambda p: SGD(p, 0.1), precision="float16")
    assert "NaN in features" in broken(run, batches([1, 2], [1, np.nan]), 1)
    assert run.loss_scaler.scale == 2.0**16, "as before the step"
