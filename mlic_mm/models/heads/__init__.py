from .deep_lift_head import DeepLIFTHead, DeepLIFTMaps
from .forward_with_maps import check_gives_maps, forward_with_maps
from .wsddn_head import WSDDNHead

__all__ = ['DeepLIFTHead', 'DeepLIFTMaps', 'WSDDNHead', 'check_gives_maps', 'forward_with_maps']
