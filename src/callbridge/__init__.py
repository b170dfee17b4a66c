"""callbridge: every finished phone call of a PBX ends in the CRM, or in a place where a person can see why not.

What happens to a call, and where:

     1  its webhook's bytes are read once, bounded in size and time      intake.http
     2  the sender proves who it is                                      intake.verify
     3  the provider reads a call from the bytes                         intake.providers
     4  the call gets the identities that it keeps                       call
     5  it is stored, once, and only then acknowledged                   store.inbox
     6  a worker is woken                                                store.bell, worker
     7  its account's drain claims it with its neighbours                delivery.deliver, store.queue
     8  it is put into the CRM's words                                   amocrm.translate
     9  the batch waits for a slot that all workers share                store.pace
    10  it is marked, and posted                                         store.queue, amocrm.client
    11  the answer is read, call by call                                 amocrm.classify
    12  each call is settled where its outcome belongs                   delivery.settle, store.queue
    13  a call that may have arrived is looked for in the CRM            delivery.reconcile, amocrm.notes

and people see it and put it right through ops, on the command line.
"""

__version__ = "0.1.0"
