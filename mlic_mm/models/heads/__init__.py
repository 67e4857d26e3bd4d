from .deep_lift_head import DeepLIFTHead, DeepLIFTMaps

__all__ = ['DeepLIFTHead', 'DeepLIFTMaps']
