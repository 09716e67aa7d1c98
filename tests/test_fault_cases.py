"""Every fault case of PROTOCOL.md is shown by a test, and every test that claims to show one names a case of the page.

Reads the sources of the tests and runs none. A case is found by `grep -rn "fault(7"` and run by
`pytest -m "fault(number=7)"`.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "gateway" / "protocol" / "PROTOCOL.md"
HEADING = "## Fault cases\n"
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \|$", re.MULTILINE)


def cases(page: str) -> dict[int, str]:
    """The table's numbers and faults."""
    _, found, section = page.partition(HEADING)
    assert found, f"PROTOCOL.md lacks {HEADING.strip()}"
    section = section.partition("\n## ")[0]
    return {int(number): fault for number, fault, _expected in ROW.findall(section)}


def is_mark(node: ast.AST) -> bool:
    """Whether this is the expression `pytest.mark.fault`."""
    return isinstance(node, ast.Attribute) and node.attr == "fault" and ast.unparse(node.value).endswith("pytest.mark")


def marks(sources: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    """Every argument of every such mark, with its place."""
    for name, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and is_mark(node.func) and not node.keywords:
                for argument in node.args:
                    number = argument.value if isinstance(argument, ast.Constant) else ast.unparse(argument)
                    yield f"{name}:{node.lineno}", number


def findings(page: str, sources: Mapping[str, str]) -> list[str]:
    """What is wrong between the page and the tests."""
    known = cases(page)
    shown = list(marks(sources))
    in_order = [] if list(known) == list(range(1, len(known) + 1)) else ["the page's cases are not 1, 2, 3 ..."]
    strange = [f"{place}: {number!r} is no case of the page" for place, number in shown if number not in known]
    numbers = {number for _, number in shown}
    unshown = [
        f"case {number}, {fault!r}: mark a test with @pytest.mark.fault({number})"
        for number, fault in known.items()
        if number not in numbers
    ]
    return in_order + strange + unshown


def test_every_case_is_shown_and_every_mark_names_a_case() -> None:
    sources = {str(path.relative_to(TESTS)): path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py")}
    page = PAGE.read_text(encoding="utf-8")
    assert len(cases(page)) == 25
    assert findings(page, sources) == []


# ---- each finding can be made ----

SOUND_PAGE = (
    f"# x\n\n{HEADING}\n| # | fault | what |\n|---|---|---|\n| 1 | a | b |\n| 2 | c | d |\n\n## Next\n| 3 | e | f |\n"
)
SOUND_TEST = "import pytest\n@pytest.mark.fault(1)\ndef test_a(): ...\nX = pytest.param(1, marks=pytest.mark.fault(2))"


@pytest.mark.parametrize(
    ("page", "test", "finding"),
    [
        (SOUND_PAGE, SOUND_TEST.replace("(1)\n", "(7)\n"), "x.py:2: 7 is no case"),
        (SOUND_PAGE, SOUND_TEST.replace("(2)", "(N)"), "x.py:4: 'N' is no case"),
        (SOUND_PAGE, SOUND_TEST.replace("marks=pytest.mark.fault(2)", ""), "case 2, 'c'"),
        (SOUND_PAGE.replace("| 2 |", "| 3 |"), SOUND_TEST.replace("(2)", "(3)"), "not 1, 2, 3"),
    ],
)
def test_what_is_wrong_is_found(page: str, test: str, finding: str) -> None:
    assert findings(SOUND_PAGE, {"x.py": SOUND_TEST}) == []
    assert any(finding in found for found in findings(page, {"x.py": test}))
