"""Names of the package in the text become links to the reference, or an error where there is none.

In pages these are ``bj.fit`` and the like, in docstrings names in single backticks, which may leave
out ``bcnmf_jax.`` or ``bj.``, and the namespace.
"""

import re
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

import bcnmf_jax

NAME = re.compile(r"(?:bj|bcnmf_jax)\.([A-Za-z_][\w.]*\w)")


def link(app: Sphinx, doctree: nodes.document) -> None:
    """Make references of inline code that begins with a name of the package."""
    for literal in list(doctree.findall(nodes.literal)):
        found = NAME.match(literal.astext())
        if found is None or isinstance(literal.parent, addnodes.pending_xref | nodes.reference):
            continue
        reference = addnodes.pending_xref(
            "", literal.deepcopy(), refdomain="py", reftype="obj", reftarget=found[1],
            refwarn=True, refdoc=app.env.docname,
        )  # fmt: skip
        literal.replace_self(reference)


def resolve(app: Sphinx, env: Any, node: addnodes.pending_xref, content: nodes.Node) -> Any:
    """The page of a public name; other names of the code stay text, unknown ones are reported."""
    if node.get("refdomain") != "py":
        return None
    target, objects = node["reftarget"], env.get_domain("py").objects
    ends = [full for full in objects if full.endswith(f".{target}")]
    for full in (target, f"bcnmf_jax.{target}", *ends):
        if full in objects:
            at = objects[full]
            return make_refnode(
                app.builder, node["refdoc"], at.docname, at.node_id, content, title=full
            )
    return content if in_the_code(target) else None


def in_the_code(target: str) -> bool:
    """Whether some module of the package holds the name, or some class of it an attribute."""
    first, *rest = target.split(".")
    for module in modules():
        classes = [c for c in vars(module).values() if isinstance(c, type)]
        for place in (module, *classes):
            value = getattr(place, first, None)
            for part in rest:
                value = getattr(value, part, None)
            annotated = not rest and first in getattr(place, "__annotations__", {})
            if value is not None or annotated:
                return True
    return False


def modules() -> list[Any]:
    """The package and all its modules."""
    if not _MODULES:
        found = walk_packages(bcnmf_jax.__path__, "bcnmf_jax.")
        _MODULES.extend([bcnmf_jax, *(import_module(m.name) for m in found)])
    return _MODULES


_MODULES: list[Any] = []


def own(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what classes inherit from other packages."""
    home = getattr(getattr(member, "fget", member), "__module__", None)
    return True if home and not home.startswith("bcnmf_jax") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register all three."""
    app.connect("doctree-read", link)
    app.connect("missing-reference", resolve)
    app.connect("autodoc-skip-member", own)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
