"""What one Python file defines, binds and refers to, as plain data that can be kept on disk.

`module` takes a file apart into definitions, `names` says what a name is in which scope, `logic`
writes a definition in a form that is equal under every supported Python version, `effects` says
what acts on import, `kept` keeps all that for later processes.
"""

from respike.runs.scan.kept import kept_scan
from respike.runs.scan.names import ProvenanceError

__all__ = ["ProvenanceError", "kept_scan"]
