"""Evaluation: one module a question about a synthetic table, from tables of codes to scores.

    data frames -> `tables` -> one module a question, its metrics' records beside them -> `results`

`metric` is the record of a figure, `levels` finds it by a score's key and judges the score.
`synthvae.scoring` joins them with the attacks. Reports and machines read `results` alone.
"""
