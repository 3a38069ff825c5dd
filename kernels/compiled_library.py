"""Compiles the loops into a shared library: python -m partita.kernels.compiled_library FILE

Run in a process of its own, for numba and LLVM take some 100 MB that later processes, which only load the library, can
do without. Imported only where numba is installed; see `native` for what calls it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from llvmlite import binding
from numba import types

from partita.kernels import compiled_loops
from partita.kernels.compiled_blocks import TILE
from partita.kernels.native import ENTRY, TILE_NAME, WORDS, linker


def main(path: Path) -> None:
    command = linker()
    if command is None:
        raise SystemExit("no linker: neither cc nor ld is there")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        parts = Path(folder, "loops.o"), Path(folder, "loops.so")
        parts[0].write_bytes(object_code())
        subprocess.run([*command, "-o", parts[1], parts[0]], check=True)
        os.replace(parts[1], path)


def object_code() -> bytes:
    """The function `run` and the tile's sizes, for this processor."""
    entry: Any = compiled_loops.run
    arguments = (types.int64,) * WORDS
    entry.compile(types.void(*arguments))
    compiled = entry.overloads[arguments]
    sizes = ", ".join(f"i64 {size}" for size in TILE)
    table = f"\n@{TILE_NAME} = constant [{len(TILE)} x i64] [{sizes}]\n"
    module = binding.parse_assembly(compiled.library.get_llvm_str() + table)
    for function in module.functions:
        if function.name == compiled.fndesc.llvm_func_name:
            function.name = ENTRY
        elif not function.is_declaration:  # wrappers for Python among them
            function.linkage = "internal"
    target = binding.Target.from_default_triple()
    machine = target.create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3, reloc="pic"
    )
    if module.get_function(ENTRY).is_declaration:
        raise SystemExit("the loops come from numba's cache: give it an empty folder in NUMBA_CACHE_DIR")
    passes = binding.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=0)))
    return machine.emit_object(module)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
