"""Changes of a module for build/mutants.py: one operator, number, condition or statement at a time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

_SWAPS: dict[type, Any] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or,
    ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
# Types change nothing at run time, words of messages are no matter of tests, and asserts are checks as they
# are, and so is zip's `strict`.
_UNTOUCHED = {"annotation", "returns", "decorator_list"}
_WORDS = (ast.JoinedStr, ast.Assert)


class Change(NamedTuple):
    """The ``number``-th change of a module, at ``line``.

    ``statement`` is the line of the statement that must run for the change to matter, 0 outside functions.
    """

    number: int
    line: int
    statement: int
    text: str


def _variants(node: ast.AST) -> Iterator[ast.AST]:  # noqa: PLR0912
    match node:
        case ast.Compare(left, ops, comparators):
            for k, op in enumerate(ops):
                yield ast.Compare(left, [*ops[:k], _SWAPS[type(op)](), *ops[k + 1 :]], comparators)
        case ast.BinOp(left, op, right) if type(op) in _SWAPS:
            yield ast.BinOp(left, _SWAPS[type(op)](), right)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(_SWAPS[type(op)](), values)
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
            yield operand
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(float(value)):
            yield ast.Constant(value * 2 or 1.0)
        case ast.If(test, body, orelse) | ast.IfExp(test, body, orelse):
            yield type(node)(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Expr(ast.Call() | ast.Await()) | ast.Raise():
            yield ast.Pass()
        case ast.AugAssign(target, _, value):
            yield ast.Assign([target], value)
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()


def _header(node: ast.AST) -> str:
    return next(line for line in ast.unparse(node).splitlines() if not line.startswith("@"))


def changes(tree: ast.Module) -> Iterator[Change]:
    """Each change of a module; while it is yielded, ``tree`` has it."""
    number = 0

    def walk(node: ast.AST, around: ast.AST | None, reached: int, inside: bool) -> Iterator[Change]:
        nonlocal number
        for field, value in ast.iter_fields(node):
            holder: Any = value if isinstance(value, list) else node.__dict__
            for key in range(len(value)) if isinstance(value, list) else [field]:
                child = holder[key]
                if not isinstance(child, ast.AST) or isinstance(child, _WORDS) or field in _UNTOUCHED:
                    continue
                if isinstance(child, ast.keyword) and child.arg == "strict":
                    continue
                is_statement = isinstance(child, ast.stmt)
                statement = child if is_statement else around
                at = child.lineno if inside and is_statement else reached
                before = _header(statement) if statement else ""
                for new in _variants(child):
                    holder[key] = ast.fix_missing_locations(ast.copy_location(new, child))
                    after = _header(new if is_statement else statement or new)
                    yield Change(number, child.lineno, at, f"{before} => {after}")
                    holder[key] = child
                    number += 1
                if not isinstance(child, ast.Raise):
                    within = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                    yield from walk(child, statement, at, within)

    yield from walk(tree, None, 0, False)


def probed(tree: ast.Module, offset: int) -> ast.Module:
    """The module with ``_hits[offset + line] = 1`` before each statement below its top."""
    for node in [n for n in ast.walk(tree) if not isinstance(n, ast.Module)]:
        for field in ("body", "orelse", "finalbody"):
            if isinstance(body := getattr(node, field, None), list):
                probes = [ast.parse(f"_hits[{offset + s.lineno}] = 1").body[0] for s in body]
                body[:] = [both for pair in zip(probes, body, strict=True) for both in pair]
    return tree
