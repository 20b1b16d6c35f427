"""The site: a folder of static pages made from the ledger, that opens without a server.

gather.py reads the ledger once; pages/ says what files there are and what each depends on;
render.py turns values into HTML; write.py makes what changed, beside the old site, and swaps.
choice.py says what of the ledger is shown, redact.py and withheld.py what is taken out of it;
check.py makes a site again and compares, publish.py sends it to a branch of pages, serve.py
serves it to this machine. Templates lie in templates/, stylesheet and scripts in site/, both at
the top of the repository.
"""
