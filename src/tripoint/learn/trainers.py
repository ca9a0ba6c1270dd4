"""Lightning's trainer: its settings checked, and left as a library should leave things."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from tripoint.errors import DeviceError, InputError
from tripoint.learn.epochs import Resumable

TENSORBOARD = "tensorboard"


def make_trainer(
    settings: Mapping[str, Any],
    callbacks: list[Any],
    *,
    epochs: int,
    folder: str | Path | None = None,
    validate: bool = True,
) -> lightning.Trainer:
    """Return Lightning's trainer.

    Parameters
    ----------
    settings : mapping
        Of Lightning's ``Trainer``; and ``tensorboard``, whether the folder gets what TensorBoard reads.
    callbacks : list
    epochs : int
    folder : path, optional
    validate : bool
        Whether there is a validation split.

    Raises
    ------
    InputError
        Settings that Lightning does not know or that do not go together.
    DeviceError
        A GPU is asked for that is not there.
    """
    chosen: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "deterministic": True,
        "gradient_clip_val": 1.0,
        "enable_progress_bar": False,
        "logger": False,
        **settings,
    }
    if chosen.pop("tensorboard", False) and folder is not None:
        chosen["logger"] = TensorBoardLogger(str(folder), name=TENSORBOARD, version="")
    _check_device(chosen["accelerator"], chosen["devices"])
    _silence()
    try:
        return lightning.Trainer(
            max_epochs=epochs,
            callbacks=callbacks,
            enable_checkpointing=folder is not None,
            default_root_dir=None if folder is None else str(folder),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if validate else 0,
            log_every_n_steps=1,
            **chosen,
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        said = (str(error).splitlines() or [""])[0].rstrip(".")
        message = f"the settings of the trainer do not fit: {said}; see conf/trainer for those that do"
        raise InputError(message) from error


def fitting(
    trainer: lightning.Trainer,
    module: Any,
    data: Any,
    resumable: Resumable | None = None,
    threads: int | None = None,
) -> None:
    """Train; where it was stopped before, from there.

    Parameters
    ----------
    trainer : Trainer
    module : LightningModule
    data : LightningDataModule
    resumable : Resumable, optional
    threads : int, optional
        Of PyTorch, whose sums depend on their number; by default as many as it has.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C, which Lightning makes an exit of.
    """
    resume = None if resumable is None else resumable.where_it_stopped()
    with _as_before():
        torch.set_num_threads(threads or torch.get_num_threads())
        try:
            trainer.fit(module, data, ckpt_path=resume, weights_only=None if resume is None else True)
        except SystemExit as stop:
            if trainer.interrupted:
                raise KeyboardInterrupt from stop
            raise


def _check_device(accelerator: Any, devices: Any) -> None:
    """Refuse a GPU that PyTorch does not see, and more of them than there are."""
    if str(accelerator) not in ("gpu", "cuda"):
        return
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not found:
        message = (
            f"the trainer asks for a GPU (accelerator={accelerator}), and PyTorch {torch.__version__} sees "
            "none; take trainer=cpu, or install a build of PyTorch for the driver of this machine"
        )
        raise DeviceError(message)
    if isinstance(devices, int) and devices > found:
        message = f"the trainer asks for {devices} GPUs, and there are {found}; set trainer.devices={found}"
        raise DeviceError(message)


def _silence() -> None:
    """Let Lightning warn, but not advertise."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def _as_before() -> Iterator[None]:
    """Put back what is changed for the whole process: determinism, threads, Ctrl-C; no advice on loading."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    in_main = threading.current_thread() is threading.main_thread()
    heard = signal.getsignal(signal.SIGINT) if in_main else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            torch.set_num_threads(threads)
            if in_main:
                signal.signal(signal.SIGINT, heard)
