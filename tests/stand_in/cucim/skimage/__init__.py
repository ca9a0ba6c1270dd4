"""The part of scikit-image that cuCIM has and tripoint uses."""
