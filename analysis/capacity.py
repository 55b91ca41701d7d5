"""What a search for a capacity found, as results.json has it and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis import verdicts
from analysis.trial import Judged
from analysis.tried import Slot, finite, found, rounds_of, slots, uppers
from loadproof.plan import capacity, limits
from loadproof.plan.capacity import End, Round
from loadproof.plan.values import Capacity


def summed(asked: Capacity, hold_s: float, trials: Sequence[Judged]) -> dict[str, Any]:
    """The search of one run as results.json has it; `trials`: those whose files are here."""
    made = slots(asked, trials)
    all_ = found(asked, hold_s, made)
    verified = rounds_of(made)
    tried = [
        _tried(asked, [one], seen.outcome)
        for one, seen in zip([one for one in made if one.purpose == "search"], all_.seen, strict=True)
    ]
    for index, (same, round_) in enumerate(zip(verified, all_.rounds, strict=True), start=1):
        tried.append(_verified(asked, same, round_, index))
    open_ = bool(made) and made[-1].verdict == "INVALID" and len(made[-1].ids) == 1  # it is to be repeated
    end = all_.then if isinstance(all_.then, End) and not open_ else None
    kind: str = end.kind if end else "unfinished"
    level = end.level if end else None
    passed = tried[-1] if level is not None else None
    result = {
        "limit": {one.figure: one.most for one in asked.limits},
        "load": asked.load,
        "most": asked.most,
        "resolution": asked.resolution,
        "kind": kind,
        asked.load: level,
        "upper": passed["upper"] if passed else None,
        "upper_ms": _first_time(asked, passed["upper"]) if passed else None,
        "confidence": 1 - sum(capacity.MISSES),
        "n": len(passed["trials"]) if passed else None,
        "tried": tried,
    }
    return {**result, "answer": answer(asked, result, end.why if end else "")}


def _first_time(asked: Capacity, upper: Mapping[str, float]) -> float | None:
    return next((upper[one.figure] for one in asked.limits if one.figure.endswith("_ms")), None)


def _tried(asked: Capacity, same: Sequence[Slot], outcome: str) -> dict[str, Any]:
    """One trial of the search, or all fresh ones of a load. A value that is None is unknown or beyond every limit: `why`
    says which."""
    values = {
        limit.figure: [finite(one.readings[index].value) for one in same]
        for index, limit in enumerate(asked.limits)
    }
    broken = [why for one in same if one.verdict != "VALID" and (why := verdicts.broken(one.judged.checks))]
    unread = [part.why for one in same for part in one.readings if part.why and finite(part.value) is None]
    whys = dict.fromkeys([*broken, *unread])
    return {
        asked.load: same[0].level,
        "purpose": same[0].purpose,
        "because": same[0].because,
        "trials": [one.ids[-1] for one in same],
        "repeated": [id for one in same for id in one.ids[:-1]],
        "values": values,
        "upper": None,
        "confidence": None,
        "outcome": outcome,
        "why": "; ".join(whys),
    }


def _verified(asked: Capacity, same: Sequence[Slot], round_: Round, index: int) -> dict[str, Any]:
    outcome = "broken" if round_.broken else round_.outcome or "unfinished"
    made = {**_tried(asked, same, outcome), "because": f"verification {index}"}
    if round_.outcome is None:
        return {**made, "why": round_.broken or made["why"]}
    confidence = capacity.confidence(index)
    tops = uppers(asked, same, confidence)
    upper = {limit.figure: finite(top) for limit, top in zip(asked.limits, tops, strict=True)}
    return {**made, "upper": upper, "confidence": confidence}


def answer(asked: Capacity, result: Mapping[str, Any], why: str) -> str:
    """The answer in one sentence."""
    wanted = limits.wanted(asked)
    if result["kind"] == "unfinished":
        return f"not decided: the search for {wanted} was left before its end"
    if result["kind"] == "not decided":
        return f"not decided: {why}"
    if result["kind"] == "none":
        return f"not even {limits.said(asked, asked.least)} with {wanted}: {why}"
    tops = " and ".join(
        f"{limits.WORDS[figure]} at most {limits.amount(figure, top)}"
        for figure, top in result["upper"].items()
    )
    level, n = limits.said(asked, result[asked.load]), result["n"]
    most = f"at least {level}" if result["kind"] == "at least" else level
    more = f"; {why}" if why else ""
    return f"{most}: {tops} with {100 * result['confidence']:.4g} % confidence ({n} fresh trials){more}"


def sentences(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(kind, sentence) of results.json for a search."""
    certain = result["kind"] in ("found", "at least", "none")
    return [("note" if certain else "warn", f"Capacity: {result['answer']}.")]


def rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was tried, for a table: one row per trial of the search, and one per verification."""
    return [
        {
            "load": f"{one[result['load']]:,}",
            "what": one["because"],
            "trials": ", ".join([*one["repeated"], *one["trials"]]),
            "values": "; ".join(limits.spread(figure, values) for figure, values in one["values"].items()),
            "upper": "; ".join(
                "beyond" if top is None else f"{limits.amount(figure, top)} ({100 * one['confidence']:g} %)"
                for figure, top in (one["upper"] or {}).items()
            ),
            "outcome": one["outcome"] + (f": {one['why']}" if one["why"] else ""),
        }
        for one in result["tried"]
    ]
