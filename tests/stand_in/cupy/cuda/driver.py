"""Errors of the driver."""


class CUDADriverError(RuntimeError):
    pass
