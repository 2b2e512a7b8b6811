"""Networks of other papers on lung nodules, to compare with: no pretrained encoder in them."""
