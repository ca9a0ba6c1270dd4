"""What a model's predictions of local activity rest on.

``groups`` says of what each feature speaks, ``absence`` and ``circuits`` take a group away from the data of a
view, and ``subject`` predicts without it: permutation importance (``importance``) and shares of the explained
variance (``shares``) ask no more. ``attribution`` looks into networks through PyTorch Geometric,
``sensitivity`` into circuits by their adjoint. ``editing`` changes a graph, ``cutting`` a volume, and
``counterfactuals`` holds one against the other. ``explaining`` puts all of it together.
"""
