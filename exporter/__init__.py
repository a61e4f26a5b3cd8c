"""nasexport: NASNet-A and PNASNet-5 checkpoints into verified TF1 Hub modules and TF2 SavedModels."""

__version__ = "0.1.0"
