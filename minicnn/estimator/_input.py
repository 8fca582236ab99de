"""The training input: one iterator for the whole run, and where it stands."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.backend.device import to_device
from minicnn.backend.transfer import Upload, Uploader
from minicnn.data import Dataset, DatasetIterator
from minicnn.errors import CheckpointError, ConfigError, ShapeError

InputFn = Callable[[], Any]


class TrainingInput:
    """Delivers batches, and goes on where it stood: in the next call, or in another process.

    A dataset that ends is read once by each call of `train`. Each such pass is an epoch
    of its own, shuffled anew, just as if the dataset were repeated.

    For a GPU it is one batch ahead, which travels there while the one before it is computed.

    Parameters
    ----------
    device : str
        Where the batches go.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._uploader: Uploader | None = None
        self._held: _Held | None = None  # the batch ahead
        self._dataset: Dataset | None = None
        self._iterator: DatasetIterator | None = None
        self._passes = 0  # those before this one
        self._at = 0  # batches delivered in this one
        self._position: dict[str, Any] | None = None  # where to go on; None: at the beginning

    def open(self, input_fn: InputFn) -> None:
        """Go on with what `input_fn` returns, from the position that the last input had."""
        dataset = input_fn()
        if not isinstance(dataset, Dataset):
            raise ConfigError(
                f"train: input_fn returned {dataset!r}; return a Dataset, whose position can be "
                "saved (Dataset.from_generator makes one of a generator function)"
            )
        if dataset is not self._dataset:
            self.close()
            self._dataset = dataset

    def next(self) -> Any:
        """Return the next batch; raise StopIteration at the end of the pass."""
        if self._iterator is None:
            self._start()
        assert self._iterator is not None
        held = self._held
        try:
            element = next(self._iterator) if held is None else held.element()
        except StopIteration:
            self._held = None
            raise
        except BaseException:
            self.close()  # it knows the place before the element that failed
            raise
        self._held = None
        self._at += 1
        if self._device != "cpu":
            self._look_ahead()
        return element

    def _look_ahead(self) -> None:
        """Read the next batch, and let it travel; what goes wrong is told when it is asked for."""
        assert self._iterator is not None
        self._uploader = self._uploader or Uploader(self._device)
        position = self._iterator.state_dict()
        try:
            travelling = _begun(next(self._iterator), self._uploader)
            self._held = _Held(position, travelling, None)
        except Exception as error:
            self._held = _Held(position, None, error)
        except BaseException:  # Ctrl-C ends this call of train, not the next one
            self._held = _Held(position, None, None)
            self.close()
            raise

    def begin_pass(self) -> None:
        """Begin the next pass, after one has ended."""
        if self._at == 0:
            raise ConfigError(f"train: there is no batch in the input, {self._dataset!r}")
        self.load_state_dict({"passes": self._passes + 1, "at": 0, "position": None})

    def remaining(self) -> int | None:
        """Return how many batches the next call has before it, None if that is not known."""
        try:
            length = len(self._dataset or ())
        except ConfigError:
            return None
        return max(0, length - self._at) or length

    def state_dict(self) -> dict[str, Any]:
        """Return where the input stands."""
        return {"passes": self._passes, "at": self._at, "position": self._standing()}

    def _standing(self) -> dict[str, Any] | None:
        """Return the iterator's position, before a batch that is held ready."""
        if self._iterator is None:
            return self._position
        return self._iterator.state_dict() if self._held is None else self._held.position

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at another place."""
        self.close()
        self._passes, self._at, self._position = state["passes"], state["at"], state["position"]

    def close(self) -> None:
        """Stop the pipeline's threads; the position stays."""
        if self._iterator is not None:
            self._position = self._standing()
            self._held = None
            self._iterator.close()
            self._iterator = None

    def _start(self) -> None:
        """Open the dataset at the position."""
        assert self._dataset is not None
        # The n-th pass is the n-th epoch of a repetition that ends with it.
        again = self._dataset.repeat(self._passes + 1) if self._passes else self._dataset
        iterator = iter(again)
        position = self._position
        if position is None and self._passes:
            first = {"epoch": self._passes, "at": 0, "upstream": None}
            position = iterator.state_dict() | {"state": first}
        if position is not None:
            try:
                iterator.load_state_dict(position)
            except (CheckpointError, KeyError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(
                    f"train: cannot go on in this input: {error}; or call restart_input() to "
                    "begin another one"
                ) from error
        self._iterator = iterator


@dataclass(frozen=True)
class _Held:
    """A batch that was read ahead, or what went wrong in reading it."""

    position: dict[str, Any]  # where the input stands before it
    travelling: Any
    error: BaseException | None

    def element(self) -> Any:
        if self.error is not None:
            raise self.error
        return _arrived(self.travelling)


def _begun(tree: Any, uploader: Uploader) -> Any:
    """Return a batch with its numeric NumPy arrays as copies under way."""
    if isinstance(tree, dict):
        return {name: _begun(leaf, uploader) for name, leaf in tree.items()}
    if isinstance(tree, tuple | list):  # a list stays one: it is no pair of features and labels
        leaves = [_begun(leaf, uploader) for leaf in tree]
        return leaves if isinstance(tree, list) else tuple(leaves)
    if isinstance(tree, np.ndarray) and tree.dtype.kind in "biuf":
        return uploader.begin(tree)
    return tree


def _arrived(tree: Any) -> Any:
    """Return the batch, the copies as Tensors."""
    if isinstance(tree, dict):
        return {name: _arrived(leaf) for name, leaf in tree.items()}
    if isinstance(tree, tuple | list):
        leaves = [_arrived(leaf) for leaf in tree]
        return leaves if isinstance(tree, list) else tuple(leaves)
    return Tensor(tree.array()) if isinstance(tree, Upload) else tree


def batches(caller: str, input_fn: InputFn, steps: int | None) -> Iterator[tuple[Any, Any]]:
    """Yield features and labels of each batch from the beginning; stop threads at the end."""
    dataset = input_fn()
    if steps is None:
        try:
            len(dataset)
        except ConfigError as error:
            if "endless" in str(error):
                raise ConfigError(f"{caller}: {error}") from error
        except TypeError:  # what has no length at all
            pass
    try:
        iterator = iter(dataset)
    except TypeError:
        raise ConfigError(f"{caller}: input_fn returned {dataset!r}; give batches") from None
    closing = contextlib.closing if hasattr(iterator, "close") else contextlib.nullcontext
    with closing(iterator):
        for element in itertools.islice(iterator, steps):
            yield split(element)


def split(element: Any) -> tuple[Any, Any]:
    """Return the features and labels of a batch; labels are None unless it is a pair."""
    return element if isinstance(element, tuple) and len(element) == 2 else (element, None)


def as_tensors(tree: Any, device: str) -> Any:
    """Return a batch with its numeric arrays as Tensors on a device."""
    if isinstance(tree, dict):
        return {name: as_tensors(leaf, device) for name, leaf in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(as_tensors(leaf, device) for leaf in tree)
    if isinstance(tree, Tensor):
        return tree
    kind = getattr(getattr(tree, "dtype", None), "kind", "")
    return Tensor(to_device(tree, device)) if kind in tuple("biuf") else tree


def count_examples(tree: Any) -> int:
    """Return the length of the first axis of the first array of a batch."""
    while isinstance(tree, dict | tuple | list) and len(tree):
        tree = next(iter(tree.values())) if isinstance(tree, dict) else tree[0]
    shape = getattr(tree, "shape", ())
    if not shape:
        raise ShapeError(f"a batch has no batch axis: {tree!r}; use Dataset.batch(size)")
    return int(shape[0])
