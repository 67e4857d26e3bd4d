"""Pictures of a run: Grad-CAM, plots, sheets of images, and the report page."""

from .cam import grad_cam
from .report.writer import write_report

__all__ = ['grad_cam', 'write_report']
