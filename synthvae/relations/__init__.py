"""Relations between the columns of a record that rows keep, found in codes and written as rules.

`view` gives columns as numbers and by name; `statements` writes each kind of relation as a rule;
`numbers` and `categories` search a sample of rows for candidates; `finder` confirms them on all rows.
"""
