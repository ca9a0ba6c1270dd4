"""Learning each particle's local activity from the graphs of many samples.

Needs ``pip install 'tripoint[learn]'``: torch, torch-geometric, pytorch-lightning and scikit-learn. NumPy is
enough for features, scaling, splits and scores (`features`, `surroundings`, `scaling`, `splitting`, `scores`)
and for the circuit of a graph (`circuit`, `solution`).
"""
