"""What can go wrong, in words a user can act on.

Every message says what was found, what was expected and what to try.
"""


class TripointError(Exception):
    """Base of every error that tripoint raises on purpose."""


class InputError(TripointError, ValueError):
    """A file, an array or a parameter is not what the operation needs."""


class MaterialsError(InputError):
    """The description of the phases is incomplete or contradicts the volume."""


class OutputError(TripointError, OSError):
    """A result cannot be written, or would overwrite one that exists."""


class DeviceError(TripointError, RuntimeError):
    """The device asked for is not there, or lacks what the operation needs."""


class DeviceMemoryError(DeviceError):
    """The volume takes more memory than the device has to give."""


class ConvergenceError(TripointError, RuntimeError):
    """A solver ended before its result was as exact as asked for."""
