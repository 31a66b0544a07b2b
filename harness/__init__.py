"""Find, train and honestly score multimodal emotion classifiers on IEMOCAP."""

__version__ = "0.1.0"
