"""From nothing to a table: samples are made and simulated, models trained on them and compared.

``samples`` makes the graphs, ``plan`` says which model learns from which of them and is tested on which,
``verdict`` holds the outcomes against each other.
"""
