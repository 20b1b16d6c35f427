"""The site: a folder of static pages made from the ledger, that opens without a server.

gather.py reads the ledger once; pages/ says what files there are and what each depends on;
render.py turns values into HTML; write.py makes what changed, beside the old site, and swaps.
Templates lie in templates/, stylesheet and scripts in
site/, both at the top of the repository.
"""
