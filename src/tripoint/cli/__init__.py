"""tripoint <task> [settings]: the command line, and the only room that knows of configuration.

`entry` makes an exit code of words: `overrides` reads what the user types, `running` has Hydra compose it
and runs the task, once or for every run of a `sweep`. Each task has a module: `analyze`, `synth`, `spectro`,
`db`.
"""

from tripoint.cli.entry import main

__all__ = ["main"]
