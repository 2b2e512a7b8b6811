"""What configs name and people call: reading, preparation, training handlers, metrics, reports."""

import os

# Libraries that MONAI imports report their use to their vendors, and keep files for it in the
# user's folders, unless these are set before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
