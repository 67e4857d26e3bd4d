from .vgg_neck import VGGNeck

__all__ = ['VGGNeck']
