"""Numbers and findings in words."""

from __future__ import annotations

import math

from bprune.cells import percent
from bprune.judgement.compare import Comparison, MetricChange
from bprune.judgement.verdict import RANKING_LOSS
from bprune.metrics.base import Better
from bprune.metrics.estimate import Estimate
from bprune.metrics.registry import METRICS
from bprune.pruning.threshold import Rule
from bprune.report.findings import Findings, Side
from bprune.report.meaning import Meaning

__all__ = [
    "bottom_line",
    "capital",
    "count",
    "estimate",
    "gains",
    "metric_number",
    "outcome",
    "plain_number",
    "summary",
    "with_error",
]

_LEAST_GAIN = 1.05
"""A ratio of times below which no gain is claimed."""
_MOST_DECIMALS = 6
_HEADLINES = ("accuracy", "rmse", "nll")


def count(value: int) -> str:
    """A whole number."""
    return f"{value:,}"


def capital(text: str) -> str:
    """Text with a capital first letter."""
    return text[:1].upper() + text[1:]


def plain_number(value: float) -> str:
    """A number in four significant digits; a dash for none."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def metric_number(value: float) -> str:
    """The value of a metric."""
    if math.isnan(value):
        return "-"
    return f"{value:.4f}" if value == 0.0 or 1e-3 <= abs(value) < 1e3 else f"{value:.3g}"


def with_error(value: float, error: float, *, signed: bool = False) -> str:
    """A number and its error, both to the second digit of the error."""
    plus = "+" if signed else ""
    if math.isnan(value):
        return "-"
    if math.isnan(error) or error < 1e-9:
        told = metric_number(value)
        return ("+" if signed and value >= 0.0 else "") + told + ("" if math.isnan(error) else " ± 0")
    decimals = min(max(1 - math.floor(math.log10(error)), 0), _MOST_DECIMALS)
    rounded = round(value, decimals) + 0.0  # no -0
    return f"{rounded:{plus},.{decimals}f} ± {error:,.{decimals}f}"


def estimate(item: Estimate) -> str:
    """A metric with its standard error."""
    return with_error(item.value, item.stderr)


def outcome(task_metrics: dict[str, Better], name: str, item: MetricChange) -> str:
    """Whether a change is clear, and which way it goes."""
    if math.isnan(item.joint_half_width):
        return "error unknown"
    if not item.is_clear:
        return "no clear change"
    better = task_metrics[name]
    if better is Better.NEITHER:
        return "higher" if item.difference.value > 0.0 else "lower"
    return "better" if (item.difference.value > 0.0) == (better is Better.HIGHER) else "worse"


def summary(findings: Findings, meaning: Meaning) -> list[str]:
    """What was pruned, and whether it did harm; then the numbers, and what it saved: a sentence or two each."""
    lead = _pruned(findings, meaning)
    pruned = findings.last.nonzeros < findings.sides[0].nonzeros
    if findings.comparison is not None and pruned:
        lead = f"{lead} {bottom_line(findings.comparison)}".rstrip()
    made = [lead, _cost(findings), gains(findings) if pruned else ""]
    return [sentence for sentence in made if sentence]


def _pruned(findings: Findings, meaning: Meaning) -> str:
    case, choice, last = findings.case.name, findings.choice, findings.last
    kept = f"{count(last.nonzeros)} of {count(last.weights)} weights"
    if choice.rule is None:
        record = findings.record
        told = f", {record.describe()}" if record is not None else ""
        return f"The case {case} keeps {kept} ({percent(1.0 - last.nonzeros / last.weights)} are zero){told}."
    gone = last.weights - last.nonzeros
    share = percent(gone / last.weights) if last.weights else "-"
    earlier = last.weights - findings.sides[0].nonzeros
    if gone == earlier:
        return f"Nothing more is pruned in {case}: no weight that is left has a score below the threshold."
    how = _how(choice.rule, meaning)
    before = f", {count(earlier)} of them before" if earlier else ""
    return f"Pruning {case} {how} sets {count(gone)} of {count(last.weights)} weights ({share}) to zero{before}."


def _how(rule: Rule, meaning: Meaning) -> str:
    name = "SNR" if rule.criterion.name == "snr" else f"{rule.criterion.title} ({rule.criterion.name})"
    if rule.sparsity is not None:
        at = "" if math.isnan(meaning.threshold) else f", which is a threshold of {plain_number(meaning.threshold)},"
        return f"to a sparsity of {rule.sparsity:.4g} by {name}{at}"
    own = ", with thresholds of their own for some layers," if rule.layer_thresholds else ""
    return f"at a threshold of {rule.threshold:g} in {name}{own}"


def _cost(findings: Findings) -> str:
    comparison, last = findings.comparison, findings.last
    if comparison is not None:
        titles = METRICS[comparison.task]
        parts = []
        for name in _HEADLINES:
            item = comparison.metrics.get(name)
            if item is not None:
                values = f"from {metric_number(item.first.value)} to {metric_number(item.second.value)}"
                change = with_error(item.difference.value, item.half_width, signed=True)
                parts.append(f"{titles[name].title} goes {values} (change {change}, 95 % interval)")
        return f"On {count(comparison.examples)} held-out examples " + " and ".join(parts) + "." if parts else ""
    if last.results is not None:
        titles = METRICS[findings.case.task]
        parts = [
            f"{titles[name].title} is {estimate(last.metrics[name])}" for name in _HEADLINES if name in last.metrics
        ]
        if parts:
            return f"On {count(len(last.results.summary.mean))} held-out examples " + " and ".join(parts) + "."
    return ""


def bottom_line(comparison: Comparison) -> str:
    """Whether pruning did harm, in a sentence or two; empty where neither labels nor uncertainty tell."""
    return " ".join(filter(None, [_harm(comparison), _ranking(comparison)]))


def _harm(comparison: Comparison) -> str:
    ways = {name: metric.better for name, metric in METRICS[comparison.task].items()}
    outcomes = {name: outcome(ways, name, item) for name, item in comparison.metrics.items()}
    shown = [name for name in ("accuracy", "rmse", "nll", "ece", "crps") if name in outcomes]
    titles = METRICS[comparison.task]
    worse = [titles[name].title for name in shown if outcomes[name] == "worse"]
    better = [titles[name].title for name in shown if outcomes[name] == "better"]
    if not shown:
        return ""
    if worse:
        return f"Pruning did harm: {', '.join(worse)} clearly worse" + (
            f", {', '.join(better)} clearly better." if better else "."
        )
    if better:
        return f"Pruning did no clear harm; {', '.join(better)} clearly better."
    return (
        f"No clear harm was found: {', '.join(titles[name].title for name in shown)} do not change beyond their errors."
    )


def _ranking(comparison: Comparison) -> str:
    """That uncertainty orders the examples in another way than before, where it does."""
    found = comparison.uncertainty
    if not found.value < found.ceiling - RANKING_LOSS:
        return ""
    return (
        f"Uncertainty ranks the examples otherwise than before: the correlation of the ranks is {found.value:.2f}, and "
        f"{found.ceiling:.2f} between two runs of one network."
    )


def gains(findings: Findings) -> str:
    """What pruning saved in work and time, or that it saved nothing; empty where neither is known."""
    before, after = findings.sides
    parts = []
    work = _ratio(before, after, "multiply_adds")
    if work is None:
        if any(side.prepared is not None and not side.size for side in findings.sides):
            parts.append("The network runs as a TensorFlow graph, which pruning does not make smaller")
    elif work <= 1.0:
        parts.append("No unit could be removed, so the multiply-adds per example and draw stay the same")
    else:
        parts.append(
            f"Multiply-adds per example and draw fall from {count(before.size['multiply_adds'])} to "
            f"{count(after.size['multiply_adds'])} ({work:.3g} times fewer)"
        )
    if not math.isnan(before.draw_us) and not math.isnan(after.draw_us):
        ratio = before.draw_us / after.draw_us
        times = f"{plain_number(before.draw_us)} to {plain_number(after.draw_us)} microseconds per example and draw"
        if ratio < _LEAST_GAIN:
            parts.append(f"there is no gain in speed on this computer ({times})")
        else:
            parts.append(f"a draw is {ratio:.3g} times as fast on this computer ({times})")
    return "; ".join(parts) + "." if parts else ""


def _ratio(before: Side, after: Side, name: str) -> float | None:
    if name not in before.size or name not in after.size:
        return None
    return before.size[name] / after.size[name] if after.size[name] else math.inf
