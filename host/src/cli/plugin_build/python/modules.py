"""Run by `hookbox plugin build`: lists what the project and its packages import, wherever in their code.

In a component there are no files, so an `import` that runs only at an event must have run before. Prints a module
for the component's entry.
"""

import ast
import encodings
import importlib.machinery
import pkgutil
import sys
import sysconfig

# What the standard library itself imports only when it is used, by what is imported to use it.
HIDDEN = {"datetime": ["_strptime"], "time": ["_strptime"], "warnings": ["traceback"], "urllib.parse": ["unicodedata"], "zoneinfo": ["importlib.resources"]}
# Codecs of Windows only, and aliases of nothing.
NO_CODECS = {"mbcs", "oem", "cp65001"}


class Imports(ast.NodeVisitor):
    """The modules that a file names, but for those of type checkers and of `if __name__ == "__main__"`."""

    def __init__(self, package):
        self.package = package
        self.names = set()

    def visit_If(self, node):
        test = ast.unparse(node.test)
        if "TYPE_CHECKING" in test or "__name__" in test:
            nodes = node.orelse
        else:
            nodes = [*node.body, *node.orelse]
        for inner in nodes:
            self.visit(inner)

    def visit_Import(self, node):
        self.names.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node):
        base = node.module or ""
        if node.level:
            parts = self.package.split(".")
            above = parts[: len(parts) - node.level + 1]
            base = ".".join([*above, base] if base else above)
        if base:
            self.names.add(base)
            # One of them may be a module. Trying is harmless.
            self.names.update(f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def find(name, places):
    """The file of a module that is in one of these folders, and its package."""
    path, spec = places, None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:end]), path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and end < len(parts):
            return None
    if not spec.origin or not spec.origin.endswith(".py"):
        return None
    return spec.origin, name if spec.submodule_search_locations is not None else name.rpartition(".")[0]


def named(start, places):
    """All modules that are named, from this one on; what is not in these folders is the standard library's."""
    seen, todo = set(), [start]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += HIDDEN.get(name, [])
        found = find(name, places)
        if found is None:
            continue
        file, package = found
        try:
            with open(file, "rb") as source:
                tree = ast.parse(source.read())
        except (OSError, SyntaxError, ValueError):
            # The import itself will say so, in the component's own version of Python.
            continue
        imports = Imports(package)
        imports.visit(tree)
        todo += sorted(imports.names)
    return sorted(seen - {start})


def main():
    places = [sys.argv[1], sysconfig.get_path("purelib")]
    codecs = sorted(m.name for m in pkgutil.iter_modules(encodings.__path__) if m.name not in NO_CODECS)
    print(f"NAMES = {named('component', places)!r}")
    print(f"CODECS = {codecs!r}")


main()
