"""The rehearsal room: a faithful amoCRM that can be made to misbehave (`crm`), and PBXs that sign as the real ones do
(`speakers`, `traffic`).

It is a second reading of the vendors' contracts, written apart from the code that it tests: nothing here imports
`amocrm`, `intake` or `store`, so a misunderstanding has to be made twice to go unseen.
"""
