"""The rehearsal room: a faithful amoCRM that can be made to misbehave (`crm`), and senders of signed webhooks (`pbx`).

It is a second reading of the vendors' contracts, written apart from the code that it tests: nothing here imports
`amocrm`, `intake` or `store`, so a misunderstanding has to be made twice to go unseen.
"""
