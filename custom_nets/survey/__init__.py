"""Networks of the papers that the survey of CNNs in medical segmentation describes."""
