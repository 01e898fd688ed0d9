"""The ANN that stands beside the spiking networks of the document."""

from respike.sources.shared.ann import Settings, run

__all__ = ["Settings", "run"]
