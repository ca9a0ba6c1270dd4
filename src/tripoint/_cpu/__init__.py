"""The host side of every room: NumPy, numba and the libraries that work on host arrays.

A module here carries the name of the public module whose branch calls it.
Nothing below this line imports CuPy.
"""
