#!/usr/bin/env python
"""The script that Auptimizer starts for each point: `trial.py JOB.json`."""

import sys

from harness.training.trial import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
