"""The morning report: what a night brought, from the ledger alone, as one page of HTML or as Markdown."""
