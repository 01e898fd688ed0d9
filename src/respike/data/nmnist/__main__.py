"""Official or local N-MNIST recordings as an event table: python -m respike.data.nmnist --help."""

import signal
import sys

from respike.data.nmnist.official import main

if __name__ == "__main__":
    # Snakemake ends a job with SIGTERM: leave through the clean-up of temporary files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise SystemExit(main())
