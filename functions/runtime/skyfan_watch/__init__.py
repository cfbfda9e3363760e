"""Standing queries: which files that an archive announces are processed, each once and within a budget.

The function Watcher and `skyfan watch` of a local folder run the same code. It needs nothing but the standard
library and skyfan_contract; storage, archive and functions are behind the interfaces of ports.py.

    watches/<name>/watch.json                 the query, its budget, what a file costs, its function's event
    watches/<name>/ledger.json                what this month has spent, reservations, counts
    watches/<name>/log/<time>-<id>.jsonl      decisions
    watches/<name>/sent/<version>.sent        on this machine only: files that were processed
    watches/.unknown/<time>-<id>.json         messages of unknown shape, as they came
    runs/<name>/plans/<version>.planned       one accepted version of a file: it is part of the run
    runs/<name>/receipts/<version>.sent       its invocation
"""
