"""The lessons as a site that opens without a network: ``python -m tutorials.site``.

`running` executes the lessons, `pages` writes what Sphinx reads, `reference` the part on the API,
`live` the page on which a network runs in the browser; `building` calls them and Sphinx.
"""
