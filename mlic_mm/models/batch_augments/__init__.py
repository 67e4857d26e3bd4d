from .mixup_or import MixupOR

__all__ = ['MixupOR']
