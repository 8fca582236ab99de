"""Training, evaluation and prediction: the Estimator, its hooks, its checkpoints."""

from minicnn.estimator._faults import replay
from minicnn.estimator._interrupts import Interrupted
from minicnn.estimator.checkpoint import (
    Checkpoint,
    best_checkpoint,
    check_checkpoint,
    checkpoint_sha256,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    newest_sound_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from minicnn.estimator.control_hooks import (
    BestCheckpoint,
    CheckpointHook,
    EarlyStopping,
    LearningRateHook,
    ValidationHook,
)
from minicnn.estimator.estimator import Estimator
from minicnn.estimator.export import Exported, load_export
from minicnn.estimator.hook import Hook, RunContext
from minicnn.estimator.nan_guard import NaNGuard
from minicnn.estimator.progress import ProgressHook
from minicnn.estimator.record_hooks import OutputHook, PlotHook, TensorBoardHook
from minicnn.estimator.spec import EstimatorSpec, Mode, RunConfig
from minicnn.estimator.unfreezing import GradualUnfreezing

__all__ = [
    "BestCheckpoint",
    "Checkpoint",
    "CheckpointHook",
    "EarlyStopping",
    "Estimator",
    "EstimatorSpec",
    "Exported",
    "GradualUnfreezing",
    "Hook",
    "Interrupted",
    "LearningRateHook",
    "Mode",
    "NaNGuard",
    "OutputHook",
    "PlotHook",
    "ProgressHook",
    "RunConfig",
    "RunContext",
    "TensorBoardHook",
    "ValidationHook",
    "best_checkpoint",
    "check_checkpoint",
    "checkpoint_sha256",
    "list_checkpoints",
    "load_checkpoint",
    "load_export",
    "newest_checkpoint",
    "newest_sound_checkpoint",
    "prune_checkpoints",
    "replay",
    "save_checkpoint",
]
