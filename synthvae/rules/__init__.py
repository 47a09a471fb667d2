"""Rules between the columns of a record: their language, what they mean, and whether they clash.

`setting` is a rule as a schema declares it; `language` reads statements into terms over `ranges`;
`compiled` gives every form of rule one meaning; `solver` finds rules that no record can keep.
"""
