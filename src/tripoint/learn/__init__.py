"""Learning each particle's local activity from the graphs of many samples.

Needs ``pip install 'tripoint[learn]'``: torch, torch-geometric, pytorch-lightning and scikit-learn. Features,
scaling and splits (`features`, `surroundings`, `scaling`, `splitting`) are NumPy alone.
"""
