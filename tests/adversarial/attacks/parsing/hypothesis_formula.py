# title = "a formula in a hypothesis, for whoever opens results.tsv in a spreadsheet"
# kind = "text"
# expect = "no-effect"
# layer = "results.tsv: an apostrophe before it"
# policies = "not asked"
# broken_wall = "formulas-believed"
# success = "leak"

"=cmd|'/c calc'!A1"
