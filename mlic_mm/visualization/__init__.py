"""What a run looks like: Grad-CAM and the report page."""

from .cam import grad_cam
from .report.writer import write_report

__all__ = ['grad_cam', 'write_report']
