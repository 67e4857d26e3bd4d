"""Trained models, and what they teach a student."""

from .detector_teacher import DetectorTeacher
from .teacher import Teacher
from .teaching import Teaching

__all__ = ['DetectorTeacher', 'Teacher', 'Teaching']
