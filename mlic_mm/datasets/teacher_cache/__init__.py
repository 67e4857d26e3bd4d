"""Outputs of a teacher, stored on disk."""

from .cache import TeacherCache
from .fingerprint import teacher_fingerprint

__all__ = ['TeacherCache', 'teacher_fingerprint']
