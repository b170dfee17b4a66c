"""The only folder that knows amoCRM's words: a call put into them, a batch posted, an answer read, lost ones looked up.

`client.AmoAccount` is the door; the CRM's field names stay behind it. `translate` and `classify` are pure.
"""
