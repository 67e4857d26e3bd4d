from .deep_lift_head import DeepLIFTHead, DeepLIFTMaps
from .forward_with_maps import check_gives_maps, forward_with_maps

__all__ = ['DeepLIFTHead', 'DeepLIFTMaps', 'check_gives_maps', 'forward_with_maps']
