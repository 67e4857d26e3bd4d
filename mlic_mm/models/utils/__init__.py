"""Parts of mmdet inside models."""
