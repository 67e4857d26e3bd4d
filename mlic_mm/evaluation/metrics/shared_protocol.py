"""The one protocol that log, figures and report of a test follow."""

from mmengine.evaluator import Evaluator
from mmengine.logging import print_log

from ..functional import Protocol, get_protocol
from .mlic_metric import MLICMetric


def shared_protocol(evaluator: Evaluator, preset: str | Protocol | None = None) -> Protocol:
    """Return the protocol of the evaluator's :class:`MLICMetric`, or give it another one first.

    Of several such metrics the first without a prefix decides, else the first. The log names the others' protocols.

    Args:
        evaluator (Evaluator): As built. Whether a config names its metrics by text or by class makes no difference.
        preset (str | Protocol | None): For all metrics of that kind, in place of their own protocol with its options,
            which the log says; one such metric is added where there is none. None leaves the metrics as they are.

    Returns:
        Protocol: That of the preset ``'mlgcn'`` where there is no such metric.

    Raises:
        ValueError: Unknown preset.
    """
    ours = [metric for metric in evaluator.metrics if isinstance(metric, MLICMetric)]
    if preset is not None:
        protocol = get_protocol(preset)
        if not ours:
            evaluator.metrics.append(MLICMetric(protocol))
            evaluator.dataset_meta = evaluator.dataset_meta  # hands it to the new metric as well
        for metric in ours:
            if metric.protocol != protocol:
                print_log(
                    f'Protocol {protocol.title} takes the place of the config\'s "{metric.protocol.title}" and all its '
                    'options',
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
