"""The protocol of the log, the metrics and the report of a test."""

from mmengine.evaluator import Evaluator
from mmengine.logging import print_log

from ..functional import Protocol, get_protocol
from .mlic_metric import MLICMetric


def shared_protocol(evaluator: Evaluator, preset: str | Protocol | None = None) -> Protocol:
    """Return the protocol of the evaluator's :class:`MLICMetric`, or set it first.

    If there are several such metrics, the first one without a prefix decides, or else the first. The log names the
    protocols of the others.

    Args:
        evaluator: The evaluator.
        preset: A protocol for all metrics of that kind, in place of their own protocols and options, which the log
            says. If there is no such metric, one is added. None changes nothing.

    Returns:
        The protocol. Without such a metric it is the preset ``'mlgcn'``.

    Raises:
        ValueError: The preset is unknown.
    """
    ours = [metric for metric in evaluator.metrics if isinstance(metric, MLICMetric)]
    if preset is not None:
        protocol = get_protocol(preset)
        if not ours:
            evaluator.metrics.append(MLICMetric(protocol))
            evaluator.dataset_meta = evaluator.dataset_meta  # the new metric gets it too
        for metric in ours:
            if metric.protocol != protocol:
                print_log(
                    f'Protocol {protocol.title} replaces "{metric.protocol.title}" of the config and all its options',
                    logger='current',
                )
            metric.protocol = protocol
        return protocol
    if not ours:
        return get_protocol()
    chosen = next((metric for metric in ours if not metric.prefix), ours[0])
    others = [f'{m.prefix or "no prefix"}: {m.protocol.title}' for m in ours if m.protocol != chosen.protocol]
    if others:
        print_log(
            f'The report follows the protocol "{chosen.protocol.title}"; also measured: {"; ".join(others)}',
            logger='current',
        )
    return chosen.protocol
