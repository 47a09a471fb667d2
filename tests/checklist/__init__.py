"""The correctness checklist of private training: every line is a test, in a file of its own.

Read from top to bottom, with docs/privacy.md as the guide. A test is named after its line; a file
begins with what must hold and how it has been broken elsewhere.

 1  test_line_01_bounds.py                no bound, width or category follows a single record
 2  test_line_02_poisson.py               Poisson sampling; empty batches are noisy steps
 3  test_line_03_public_sizes.py          rates, normaliser and sizes ignore the true number of rows
 4  test_line_04_account.py               another accountant agrees; nothing beyond the log
 5  test_line_05_no_other_look.py         no validation, stopping, rule or search on private rows
 6  test_line_06_ledger.py                every fit is a debit (waits for the ledger)
 7  test_line_07_delta.py                 a delta of 1/n or more is refused
 8  test_line_08_clipping.py              no patient adds more than the clip norm
 9  test_line_09_odd_values.py            odd cells are handled row by row
10  test_line_10_budget.py                what is spent is at most the budget, and all of it is seen
11  test_line_11_fresh_noise.py           two fits differ in their noise
12  test_line_12_discrete_counts.py       counts get exact discrete noise
13  test_line_13_many_rows.py             many rows move no more than they are accounted for
14  test_line_14_no_batch_statistics.py   no batch norm, class weights or oversampling
15  test_line_15_resume.py                killed and resumed, the account is the same
16  test_line_16_sampling.py              sampling holds no real row
17  test_line_17_order_and_strings.py     order does not matter; rare strings and dates do not pass
18  test_line_18_artefacts.py             artefacts hold an allow-list of things
19  test_line_19_renderings.py            a custodian's and a public rendering
20  test_line_20_audit.py                 the audit finds no more than is claimed, and planted bugs

And test_release_refuses.py: `release` refuses a void guarantee (waits for `release`).

`fitted.py` has the quick fits and the watching that they share; `test_index.py` holds this list against
the files and the guide. Which bugs each test would notice is measured in tests/mutations.
"""
