"""Whether a run reached what its thresholds ask, and that for machines: JUnit's XML, and Markdown for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from analysis import compare
from analysis.words import visible
from loadproof.plan.thresholds import Threshold, parse
from loadproof.runfolder import shown

Results = Mapping[str, Any]


def judged(
    texts: Sequence[str], arms: Sequence[Mapping[str, Any]], why_not: str = ""
) -> list[dict[str, Any]]:
    """One entry per threshold, and arm where it is about arms: {"threshold", "arm", "value", "passed", "said"}. What has
    no value, because it is withheld or unknown, has not passed; no ratio has where `why_not` forbids to compare."""
    return [one for text in texts for one in _judged(parse(text), arms, why_not)]


def _judged(asked: Threshold, arms: Sequence[Mapping[str, Any]], why_not: str) -> Iterator[dict[str, Any]]:
    if asked.pair is not None:
        yield _ratio(asked, arms, why_not)
        return
    for arm in arms:
        value, why = _value(asked, arm)
        unit = " %" if asked.share else ""
        said = why or f"{value:.4g}{unit}"
        yield _entry(asked, arm["label"], value, value is not None and asked.holds(value), said)


def _entry(asked: Threshold, arm: str, value: float | None, passed: bool, said: str) -> dict[str, Any]:
    return {"threshold": asked.text, "arm": arm, "value": value, "passed": passed, "said": said}


def _value(asked: Threshold, arm: Mapping[str, Any]) -> tuple[float | None, str]:
    """A figure of an arm, or why there is none."""
    if brief := compare.brief(arm, asked.figure):
        return None, f"withheld: {brief}"
    if asked.share:
        share = 100 * arm["failures"] / arm["requests"] if arm["requests"] else None
        return share, "" if share is not None else "unknown"
    if why := shown.withheld(arm, asked.figure):
        return None, f"withheld: {why}"
    value = arm[asked.figure]
    return (None, "unknown") if value is None else (float(value), "")


def _ratio(asked: Threshold, arms: Sequence[Mapping[str, Any]], why_not: str) -> dict[str, Any]:
    """A ratio passes when its whole interval does: what may as well be otherwise has not been shown."""
    assert asked.pair is not None
    above, below = (next((arm for arm in arms if arm["label"] == name), None) for name in asked.pair)
    label = f"{asked.pair[0]}/{asked.pair[1]}"
    if above is None or below is None:
        return _entry(asked, label, None, False, f"there are only {', '.join(arm['label'] for arm in arms)}")
    found = compare.one(above, below, asked.figure, why_not)
    if found["ratio"] is None:
        return _entry(asked, label, None, False, found["words"])
    if found["low"] is None:
        return _entry(
            asked, label, found["ratio"], False, f"{found['ratio']:.3f}, no interval: {found['method']}"
        )
    passed = asked.holds(found["low"]) and asked.holds(found["high"])
    said = (
        f"{found['ratio']:.3f}, 95 % interval {found['low']:.3f} to {found['high']:.3f}, {found['n']} pairs"
    )
    undecided = not passed and asked.holds(found["ratio"])
    return _entry(
        asked, label, found["ratio"], passed, said + (": not shown, it may be otherwise" if undecided else "")
    )


def junit(results: Results) -> str:
    """A test suite in JUnit's XML: the verdict of the run, and every threshold."""
    cases = [("verdict", results["verdict"] == "VALID", shown.verdict(results))]
    cases += [
        (f"{one['arm']}: {one['threshold']}", one["passed"], one["said"]) for one in results["thresholds"]
    ]
    failed = sum(not passed for _, passed, _ in cases)
    suite = ElementTree.Element(
        "testsuite", name=visible(results["run"]), tests=str(len(cases)), failures=str(failed), errors="0"
    )
    for name, passed, said in cases:
        case = ElementTree.SubElement(suite, "testcase", classname="loadproof", name=visible(name))
        if not passed:
            ElementTree.SubElement(case, "failure", message=visible(said))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def markdown(results: Results) -> str:
    """A summary for a comment of CI: question, verdict, answer, thresholds."""
    lines = [
        f"### {plain(results['question'] or results['run'])}",
        "",
        f"**{plain(shown.verdict(results))}**",
        "",
    ]
    lines += [f"- {plain(text)}" for _, text in results["sentences"]]
    if results["thresholds"]:
        lines += ["", "| threshold | arm | found | |", "|---|---|---|---|"]
        lines += [
            f"| `{plain(one['threshold'])}` | {plain(one['arm'])} | {plain(one['said'])} | {'passed' if one['passed'] else '**failed**'} |"
            for one in results["thresholds"]
        ]
    return "\n".join([*lines, "", f"run `{plain(results['run'])}`", ""])


def plain(text: str) -> str:
    """Text that is no markup of Markdown's, in one line."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return str(visible(text)).replace("\n", " ")
