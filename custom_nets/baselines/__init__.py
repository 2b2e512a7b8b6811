"""Networks of other papers on lung nodules, without a pretrained encoder, for comparison."""
