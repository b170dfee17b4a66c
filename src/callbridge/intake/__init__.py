"""The way in: webhook bytes become calls that are stored.

    http       bytes off the socket, bounded in size and time
    answers    statuses and problem bodies
    accept     one webhook: verify, parse, store, answer
    verify     is it from whom it says: signatures, tokens, timestamps                      [pure]
    decode     JSON and form bodies under limits                                            [pure]
    providers  what each PBX calls things                                                   [pure]
    refused    what was turned away, counted                                                [pure]

Stores nothing itself: it is given an `Inbox`.
"""
