"""Stands in for the part of cupyx.scipy that tripoint uses."""
