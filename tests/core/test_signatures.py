"""No function of the core takes more arguments than a reader keeps in mind."""

import ast
from pathlib import Path

import gpen_core

PACKAGE = Path(gpen_core.__file__).parent
MOST = 7


def parameters(function):
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def is_kernel(function):
    """Whether it is compiled for a GPU: such a function takes pointers, strides and constants."""
    return any(ast.unparse(decorator).startswith("triton") for decorator in function.decorator_list)


def test_functions_take_at_most_seven_parameters():
    long = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
        and not is_kernel(node)
        and len(parameters(node)) > MOST
    ]
    assert long == []
