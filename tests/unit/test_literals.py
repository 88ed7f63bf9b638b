"""The hyperparameter block: what is read, what is refused, and that a rewrite touches nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model import UserError
from daemon.proposers.literals import Parameter, SpaceError, Value, read_block, read_space, rewrite, same

REAL = (Path(__file__).parents[2] / "train.py").read_bytes()
BEGIN, END = "# --- hyperparameters (cpu profile)\n", "# --- end of hyperparameters (cpu profile)\n"


def block(*lines: str) -> bytes:
    return ("import os\n" + BEGIN + "".join(f"{line}\n" for line in lines) + END + "print(DEPTH)\n").encode()


def only(line: str) -> Parameter:
    (parameter,) = read_space(block(line), "cpu")
    return parameter


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_the_real_file_is_understood(profile: str) -> None:
    space = {p.name: p for p in read_space(REAL, profile)}
    assert {"DEPTH", "WIDTH", "MATRIX_LR", "TOTAL_BATCH_SIZE", "WEIGHT_DECAY"} <= set(space)
    assert {p.kind for p in space.values()} == {"log", "lin", "int", "choice"}
    assert space["WINDOW_PATTERN"].choices[0] == "L"
    assert all(REAL.split(b"\n")[p.line - 1].strip().startswith(p.name.encode()) for p in space.values())


def test_a_profile_changes_only_its_own_block() -> None:
    changed = rewrite(REAL, "cpu", {"DEPTH": 3, "MATRIX_LR": 0.0812345, "WINDOW_PATTERN": "SL"})
    before, after = REAL.decode().split("\n"), changed.decode().split("\n")
    differing = [(a.strip(), b.strip()) for a, b in zip(before, after, strict=True) if a != b]
    assert [b.split("  #")[0] for _, b in differing] == ["DEPTH = 3", 'WINDOW_PATTERN = "SL"', "MATRIX_LR = 0.08123"]
    assert [a.split("  #")[1] for a, _ in differing] == [b.split("  #")[1] for _, b in differing]
    assert read_space(changed, "gpu") == read_space(REAL, "gpu")


def test_lines_without_a_range_are_not_searched() -> None:
    source = block("DEPTH = 2  # int 1..6; layers", "SEEDS = (1, 2)  # logarithm of what", "NAME = 'x'", "", "# int")
    assert [p.name for p in read_space(source, "cpu")] == ["DEPTH"]


def test_the_words_and_bounds_of_a_range() -> None:
    parameter = only("LR = 4e-2  # log 0.005..0.2; Muon; all ± matrices")
    assert (parameter.low, parameter.high, parameter.note) == (0.005, 0.2, "Muon; all ± matrices")
    assert (parameter.kind, parameter.value, parameter.line) == ("log", 0.04, 3)
    assert only("X = -1.0  # lin -2..-0.5").low == -2.0


@pytest.mark.parametrize(
    ("line", "value", "written"),
    [
        ("B = 2**16  # choice 2**15 2**16 2**17", 2**17, "B = 2**17"),
        ("B = 65536  # choice 2**15 2**16 2**17", 2**15, "B = 2**15"),
        ("B = 'a#b'  # choice 'a#b' \"c;d\"; two", "c;d", 'B = "c;d"'),
        ("B = True  # choice True False", False, "B = False"),
        ("B = 1.0  # log 1e-3..1e6", 123456.789, "B = 123500.0"),
        ("B = 1  # log 0.001..10", 0.0123, "B = 0.0123"),
        ("B = 0.95  # lin 0.9..0.99999", 0.99999, "B = 0.99999"),
        ("B = 0.95  # lin 0.9..0.99999", 0.999985, "B = 0.99999"),
        ("B = 3  # int 1..9", 4, "B = 4"),
        ("B = (3)  # int 1..9", 4, "B = (4)"),
    ],
)
def test_values_are_written_readably(line: str, value: Value, written: str) -> None:
    changed = rewrite(block(line), "cpu", {"B": value})
    assert changed == block(written + "  #" + line.split("  #", 1)[1])


def test_the_present_value_keeps_its_spelling() -> None:
    source = block("LR = 4e-2  # log 0.005..0.2", "N = 1_0  # int 1..20")
    assert rewrite(source, "cpu", {"LR": 0.04, "N": 10}) == source


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["DEPTH = 2.0  # int 1..6"], "line 3: DEPTH = 2.0 is no value for a range of the kind int"),
        (["LR = True  # lin 2..6"], "line 3: LR = True is no value for a range of the kind lin"),
        (["LR = 1e999  # lin 0..2"], "line 3: LR = 1e999 is no value for a range of the kind lin"),
        (["LR = 0  # log 1..2"], "line 3: LR = 0 is not above 0, as a log range must be"),
        (["", "LR = 1  # log 0..2"], "line 4: LR: a log range must lie above 0"),
        (["LR = 1  # log 2-3"], "line 3: LR: the comment is not of the form `# log low..high; words`"),
        (["LR = 1  # lin 3..2"], "line 3: LR: the range must rise"),
        (["LR = 1  # lin 0..1e999"], "line 3: LR: the bound 1e999 is not a number"),
        (["LR = 1  # lin 0..True"], "line 3: LR: the bound True is not a number"),
        (["N = 1  # int 0.5..2"], "line 3: N: the bound 0.5 is not an integer"),
        (["N = 1  # choice one two"], "line 3: one is not a plain number"),
        (["N = 1  # choice ;"], "line 3: N: the comment is not of the form `# choice"),
        (["N = f()  # int 1..2"], "line 3: f() is not a plain number"),
        (["A = B = 1  # int 1..2"], "line 3: a range comment belongs behind one plain assignment"),
        (["A = 1; B = 2  # int 1..2"], "line 3: a range comment belongs behind one plain assignment"),
        (["A.b = 1  # int 1..2"], "line 3: a range comment belongs behind one plain assignment"),
        (["A = (1,  # int 1..2", "2)"], "line 3: a range comment belongs behind one plain assignment"),
        (["A = 1  # int 1..2", "A = 2  # int 1..2"], "line 4: A is assigned a second time"),
        (["A = 1  # nothing to search"], "line 3: no assignment of the cpu block carries a range comment"),
        ([BEGIN.strip(), "A = 1  # int 1..2"], "line 3: `# --- hyperparameters (cpu profile)` stands here a second"),
    ],
)
def test_mistakes_are_named_with_their_line(lines: list[str], problem: str) -> None:
    with pytest.raises(SpaceError) as caught:
        read_space(block(*lines), "cpu")
    assert str(caught.value).startswith("train.py ")
    assert problem in str(caught.value)
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    ("line", "range_text", "beyond", "written"),
    [
        ("N = 7  # int 1..6", "1..7", 7, "N = 5"),
        ("N = 0.001  # log 0.01..1", "0.001..1", 0.001, "N = 0.5"),
        ("N = -1  # lin 0..1", "-1..1", -1, "N = 0.5"),
        ("N = 3  # choice 1 2 4 8; words", "1 2 3 4 8", 3, "N = 4"),
        ("N = 2**5  # choice 2**3 2**4", "2**3 2**4 2**5", 32, "N = 2**4"),
        ("N = 1  # choice 2 3", "1 2 3", 1, "N = 3"),
        ("N = 'c'  # choice 'a' \"b\"", "'a' \"b\" 'c'", "c", "N = 'a'"),
        ("N = True  # choice 1 2", "1 2 True", True, "N = 2"),
    ],
)
def test_a_value_outside_its_range_stretches_it(line: str, range_text: str, beyond: Value, written: str) -> None:
    parameter = only(line)
    assert parameter.stretched
    assert parameter.range_text() == range_text
    assert parameter.allows(beyond)
    inside = {"N = 5": 5, "N = 0.5": 0.5, "N = 4": 4, "N = 2**4": 16, "N = 3": 3, "N = 'a'": "a", "N = 2": 2}[written]
    assert rewrite(block(line), "cpu", {"N": inside}) == block(written + "  #" + line.split("  #", 1)[1])
    assert not only("N = 2  # int 1..6").stretched


def test_what_a_proposer_wrote_is_read_leniently() -> None:
    source = block(
        "A = 2 * 3  # int 1..9", "B = 1  # int 1..9", "C = 1  # lin 5", "B = 2  # int 1..9", "D = 1 # int 0..2"
    )
    with pytest.raises(SpaceError, match="line 3: 2 \\* 3 is not a plain number"):
        read_space(source, "cpu")
    assert {p.name: p.value for p in read_space(source, "cpu", strict=False)} == {"B": 2, "D": 1}
    changed = rewrite(source, "cpu", {"B": 3, "D": 0})
    assert changed == source.replace(b"B = 2 ", b"B = 3 ").replace(b"D = 1 ", b"D = 0 ")
    with pytest.raises(SpaceError, match="no assignment of the cpu block"):
        read_space(block("A = 2 * 3  # int 1..9"), "cpu", strict=False)


def test_files_that_differ_in_searched_values_alone_have_one_skeleton() -> None:
    source = block("A = 1  # int 1..9", "B = 2  # log 1..9; two", "C = 3")
    same_code = rewrite(source, "cpu", {"A": 5, "B": 7.5})
    assert read_block(source, "cpu").skeleton == read_block(same_code, "cpu").skeleton
    for other in (
        source.replace(b"C = 3", b"C = 4"),
        source.replace(b"two", b"2"),
        source + b"\n",
        block("A = 1  # int 1..9"),
    ):
        assert read_block(source, "cpu").skeleton != read_block(other, "cpu").skeleton
    swapped = block("A = 12  # int 1..99", "B = 3  # int 1..99"), block("A = 1  # int 1..99", "B = 23  # int 1..99")
    assert read_block(swapped[0], "cpu").skeleton == read_block(swapped[1], "cpu").skeleton


def test_a_missing_or_open_block() -> None:
    with pytest.raises(SpaceError, match="no hyperparameter block of the gpu profile"):
        read_space(block("A = 1  # int 1..2"), "gpu")
    with pytest.raises(SpaceError, match="line 1: the block that begins here lacks"):
        read_space((BEGIN + "A = 1  # int 1..2\n").encode(), "cpu")
    with pytest.raises(SpaceError, match="no hyperparameter block"):
        read_space(b"", "cpu")
    with pytest.raises(SpaceError, match="line 3: a range comment belongs behind one plain assignment"):
        read_space(block("A = 1  # int 1..2; x").replace(b"; x", b"; \xff"), "cpu")


def test_bad_values_for_a_rewrite() -> None:
    source = block("A = 1  # int 1..2")
    with pytest.raises(SpaceError, match="no searched literal B"):
        rewrite(source, "cpu", {"B": 1})
    for value in (3, 1.5, True, "1"):
        with pytest.raises(SpaceError, match="outside its range"):
            rewrite(source, "cpu", {"A": value})
    with pytest.raises(SpaceError, match="outside its range"):
        rewrite(block("A = 1.0  # lin 0..2"), "cpu", {"A": float("nan")})


@pytest.mark.parametrize(
    "bomb", ["(" * 30_000, "(" * 250 + "1" + ")" * 250, "-" * 30_000 + "1", "not " * 9_000 + "1", "a" + ".a" * 20_000]
)
def test_a_nesting_bomb_is_one_error_and_not_the_end_of_the_process(bomb: str) -> None:
    with pytest.raises(SpaceError, match="too long"):
        read_space(block(f"A = {bomb}  # int 1..2"), "cpu")
    assert len(read_space(block(f"B = {bomb}", "A = 1  # int 1..2"), "cpu")) == 1


NUMBERS = st.floats(0.001, 1000, allow_nan=False)
KINDS = st.sampled_from(["log", "lin", "int", "choice"])
PROSE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20)
OTHER_LINES = st.sampled_from(["", "# a comment ± of its own", "SEEDS = [1,   2]  # plain", "X = '''a'''", "\t"])


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, dict[str, Value], dict[str, tuple[Value, str]]]:
    """A file with a block, its values, and for some names another value and how it must be written."""
    indent, newline = draw(st.sampled_from(["", "    ", "\t"])), draw(st.sampled_from(["\n", "\r\n"]))
    lines, values, wanted = [], {}, {}
    for index in range(draw(st.integers(1, 5))):
        name, kind = f"P{index}", draw(KINDS)
        if kind == "choice":
            pool = draw(st.lists(st.integers(-50, 50), min_size=2, max_size=5, unique=True))
            value, other = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
            text, new, bounds = str(value), str(other), " ".join(map(str, pool))
        elif kind == "int":
            value, other = draw(st.integers(-99, 99)), draw(st.integers(-99, 99))
            text, new, bounds = str(value), str(other), "-100..100"
        else:
            value, other = draw(NUMBERS), float(f"{draw(NUMBERS):.4g}")
            text, new, bounds = repr(value), repr(other), "0.0005..2000"
        spaces = draw(st.sampled_from(["", " ", "   "]))
        prose = draw(st.none() | PROSE)
        comment = f"# {kind} {bounds}" + (f"; {prose}" if prose is not None else "")
        lines.append((f"{indent}{name}{spaces}={spaces}", text, f"{spaces}  {comment}"))
        values[name] = value
        if draw(st.booleans()):
            wanted[name] = (other, new)
        lines += [(f"{indent}{draw(OTHER_LINES)}", "", "")]
    head = (f"if 1:{newline}" if indent else "") + indent + BEGIN.strip() + newline
    body = newline.join("".join(line) for line in lines) + newline
    tail = indent + END.strip() + newline + draw(PROSE)
    return (draw(PROSE) + newline + head + body + tail).encode(), values, wanted


@given(files())
def test_a_rewrite_changes_the_literals_and_not_one_other_byte(
    case: tuple[bytes, dict[str, Value], dict[str, tuple[Value, str]]],
) -> None:
    source, values, wanted = case
    assert {p.name: p.value for p in read_space(source, "cpu")} == values
    changed = rewrite(source, "cpu", {name: value for name, (value, _) in wanted.items()})
    after = {p.name: p.value for p in read_space(changed, "cpu")}
    assert after == values | {name: value for name, (value, _) in wanted.items()}
    expected = []
    for line in source.split(b"\n"):
        name = line.split(b"=")[0].strip().decode(errors="replace")
        if name in wanted and not same(wanted[name][0], values[name]):
            before, rest = line.split(b"=", 1)
            old = rest.split()[0]
            line = before + b"=" + rest.replace(old, wanted[name][1].encode(), 1)
        expected.append(line)
    assert changed == b"\n".join(expected)
    assert rewrite(changed, "cpu", after) == changed
